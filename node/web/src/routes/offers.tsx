import { Shell } from "../ui/Shell.tsx";

export function Page() {
	return <Shell title="Offers">{null}</Shell>;
}
