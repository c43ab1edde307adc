import { lazy, type ReactNode, Suspense, useRef, useState } from "react";
import type { Origin } from "../api/client.ts";
import { number } from "../lib/text.ts";
import { Source, sources } from "./Glyph.tsx";

const Evidence = lazy(() => import("./Evidence.tsx"));

export interface FigureProps {
	/** The figure with its origin; absent: it is not known, which is a dash and never 0. */
	of: (Origin & { value?: unknown }) | undefined;
	/** Its word in /definitions. */
	word: string;
	/** How it reads; without it, value as a whole number. */
	children?: ReactNode;
	/** A line that re-checks just this one; without it, the definition's. */
	check?: string | undefined;
	className?: string;
	/** Leave the shape of its source out, where a whole column has the same one. */
	bare?: boolean;
}

/** A figure that tells where it comes from: its source's shape, and on demand all of it with a line to check it. */
export function Figure({ of, word, children, check, className = "", bare = false }: FigureProps) {
	const ref = useRef<HTMLButtonElement>(null);
	const [open, setOpen] = useState(false);
	if (!of) return <Dash what={word} className={className} />;
	const text = children ?? (typeof of.value === "number" ? number(of.value) : String(of.value ?? "—"));
	return (
		<>
			<button
				ref={ref}
				type="button"
				aria-haspopup="dialog"
				aria-expanded={open}
				onClick={() => setOpen(!open)}
				className={`inline-flex items-baseline gap-[0.35em] rounded-sm text-left tabular-nums decoration-1 decoration-dotted underline-offset-[0.22em] hover:underline ${className}`}
			>
				<span>{text}</span>
				{!bare && <Source src={of.src} />}
				<span className="sr-only">
					, {word}, {sources[of.src]}: where it comes from
				</span>
			</button>
			{open && (
				<Suspense>
					<Evidence anchor={ref} origin={of} word={word} check={check} onClose={() => setOpen(false)} />
				</Suspense>
			)}
		</>
	);
}

/** What is not known. */
export function Dash({ what, className = "" }: { what?: string; className?: string }) {
	return (
		<span className={`text-faint ${className}`}>
			<span aria-hidden="true">–</span>
			<span className="sr-only">{what ? `${what}: not known` : "not known"}</span>
		</span>
	);
}
