import { Shell } from "../ui/Shell.tsx";

export function Page() {
	return <Shell title="Providers">{null}</Shell>;
}
