import { shell } from "./text.ts";

// Lines for a terminal. Each flag is one of `gpuai offers --help` and `gpuai run --help`.

/** What a reader asks of an offer, as words of the address. Sizes are what the flags take. */
export interface Ask {
	slug?: string | undefined;
	/** SOL per device and hour. */
	rate?: string | undefined;
	/** Devices free on one rig. */
	free?: string | undefined;
	/** GiB of one device. */
	vram?: string | undefined;
	country?: string | undefined;
}

function flags(a: Ask): string[] {
	const out: string[] = [];
	const n = Number(a.free);
	const many = n > 1 ? `:${n}` : "";
	if (a.slug) out.push("--gpu", shell(`${a.slug}${many}`));
	else if (a.vram || many) out.push("--gpu", `any${many}`);
	if (a.vram) out.push("--vram", shell(`${a.vram}GiB`));
	if (a.rate) out.push("--max-rate", shell(`${a.rate.replace(/^\./, "0.")}/h`));
	if (a.country) out.push("--where", shell(`country in (${a.country.toUpperCase()})`));
	return out;
}

/** The line that lists the same offers: without --all it leaves out those with no device free. */
export function offersLine(a: Ask): string {
	return ["gpuai offers", ...flags(a), ...(a.free ? [] : ["--all"])].join(" ");
}

/** The line that rents one of them: it shows its plan and asks before it spends. */
export function runLine(a: Ask, total = "0.02"): string {
	const what = flags(a);
	if (what[0] !== "--gpu") what.unshift("--gpu", "any");
	const job = a.slug === "cpu" ? "alpine -- nproc" : "pytorch/pytorch -- nvidia-smi";
	return ["gpuai run", ...what, "--max-total", total, job].join(" ");
}

/** A line that checks a figure: addresses of this API get the host that the reader is at. */
export function here(line: string): string {
	return line.replace(/^curl \//, `curl ${location.origin}/`);
}

/** The same line for the ledger of a network: without it, solana asks whichever one its own settings name. */
export function onLedger(line: string, network: string | undefined): string {
	const url = network?.startsWith("localnet") ? "localhost" : network === "mainnet" ? "mainnet-beta" : network;
	if (!url) return line;
	return line.replace(/^solana (account|balance|program \w+)/, (what) => `${what} --url ${shell(url)}`);
}

/** The line with what its page is about instead of MODEL, PEER and the like. */
export function named(line: string, of: { slug?: string; peer?: string; id?: string }): string {
	const words: Record<string, string | undefined> = { MODEL: of.slug, PEER: of.peer, LEASE: of.id };
	return line.replace(/\b(MODEL|PEER|LEASE)\b/g, (w) => shell(words[w] ?? w));
}
