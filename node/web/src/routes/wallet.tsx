import { Shell } from "../ui/Shell.tsx";

export function Page() {
	return <Shell title="Wallet">{null}</Shell>;
}
