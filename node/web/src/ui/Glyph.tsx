import type { Origin } from "../api/client.ts";

/** The mark: three levels of a book. */
export function Mark({ className = "size-6" }: { className?: string }) {
	return (
		<svg viewBox="0 0 32 32" className={className} aria-hidden="true" fill="currentColor">
			<path d="M3 21h8v8H3zM12 12h8v17h-8zM21 3h8v26h-8z" />
		</svg>
	);
}

/** Words of the sources, strongest first. */
export const sources: Record<Origin["src"], string> = {
	chain: "read from the chain",
	signed: "signed by both sides",
	probe: "measured by this indexer",
	gossip: "as providers say",
};

const shapes: Record<Origin["src"], string> = {
	chain: "M1 1h8v8H1z",
	signed: "M5 .3 9.7 5 5 9.7.3 5z",
	probe: "M5 1a4 4 0 0 1 0 8zM5 1.6a3.4 3.4 0 1 0 0 6.8",
	gossip: "M5 1.6a3.4 3.4 0 1 0 0 6.8 3.4 3.4 0 0 0 0-6.8z",
};

/** The shape of a source: filled is evidence, an outline is only said. */
export function Source({ src, className = "size-[0.6em]" }: { src: Origin["src"]; className?: string }) {
	const solid = src === "chain" || src === "signed";
	return (
		<svg
			viewBox="0 0 10 10"
			className={`inline-block shrink-0 ${solid ? "text-accent" : src === "probe" ? "text-accent" : "text-faint"} ${className}`}
			aria-hidden="true"
			fill={src === "gossip" ? "none" : "currentColor"}
			stroke="currentColor"
			strokeWidth={src === "gossip" ? 1.3 : 0}
		>
			{src === "probe" ? (
				<>
					<path d="M5 .8a4.2 4.2 0 0 1 0 8.4z" />
					<path d="M5 1.4a3.6 3.6 0 1 0 0 7.2 3.6 3.6 0 0 0 0-7.2z" fill="none" strokeWidth={1.3} />
				</>
			) : (
				<path d={shapes[src]} />
			)}
		</svg>
	);
}

const icons = {
	copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
	done: "m3 8.5 3.5 3.5L13 4.5",
	search: "M7 12.5A5.5 5.5 0 1 0 7 1.5a5.5 5.5 0 0 0 0 11zm4-1.5 4 4",
	up: "m3.5 10 4.5-4.5 4.5 4.5",
	down: "m3.5 6 4.5 4.5L12.5 6",
	right: "m6 3.5 4.5 4.5L6 12.5",
	menu: "M2 5h12M2 11h12",
	close: "m3.5 3.5 9 9m0-9-9 9",
	sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5m0 11V15M1 8h1.5m11 0H15M3 3l1 1m8 8 1 1m0-10-1 1m-8 8-1 1",
	moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
	system: "M1.5 2.5h13v9h-13zM5.5 14.5h5",
	table: "M2 3.5h12M2 8h12M2 12.5h12",
	plot: "M2 12.5 6 8l3 2.5 5-6.5",
	save: "M8 2v8m-3.5-3L8 10.5 11.5 7M2.5 13.5h11",
} as const;

/** A line drawing of 16 px, for the eye only: what it means is said beside it. */
export function Icon({ of, className = "size-4" }: { of: keyof typeof icons; className?: string }) {
	return (
		<svg
			viewBox="0 0 16 16"
			className={`shrink-0 ${className}`}
			aria-hidden="true"
			fill="none"
			stroke="currentColor"
			strokeWidth={1.4}
			strokeLinecap="round"
			strokeLinejoin="round"
		>
			<path d={icons[of]} />
		</svg>
	);
}
