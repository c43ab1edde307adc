import { useSyncExternalStore } from "react";

const units: [string, number][] = [
	["d", 86_400],
	["h", 3600],
	["min", 60],
	["s", 1],
];

/** How long, in its largest unit or two: "3 h 20 min". */
export function lasting(s: number, parts = 2): string {
	let rest = Math.max(0, Math.round(s));
	const out: string[] = [];
	for (const [name, size] of units) {
		const n = Math.floor(rest / size);
		if (n > 0 || (name === "s" && out.length === 0)) out.push(`${n} ${name}`);
		rest -= n * size;
		if (out.length === parts) break;
	}
	return out.join(" ");
}

/** How long before now, or "in" how long. */
export function ago(at: number, now: number): string {
	const s = (now - at) / 1000;
	if (Math.abs(s) < 5) return "now";
	return s > 0 ? `${lasting(s, 1)} ago` : `in ${lasting(-s, 1)}`;
}

/** A moment in UTC, to the second. */
export function utc(at: number): string {
	return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** A moment of the API in ms; NaN where it is none. */
export function moment(at: string): number {
	return Date.parse(at);
}

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let now = Date.now();

function subscribe(f: () => void): () => void {
	listeners.add(f);
	timer ??= setInterval(() => {
		now = Date.now();
		for (const g of listeners) g();
	}, 10_000);
	return () => {
		listeners.delete(f);
		if (listeners.size === 0) {
			clearInterval(timer);
			timer = undefined;
		}
	};
}

/** Now, renewed each 10 s by one clock for the whole page. */
export function useNow(): number {
	return useSyncExternalStore(subscribe, () => now);
}
