import { Link } from "@tanstack/react-router";
import type { Count } from "../api/client.ts";
import { Dash, Figure } from "./Figure.tsx";
import { Source } from "./Glyph.tsx";

export interface Step {
	word: string;
	means: string;
	of: Count | undefined;
}

/** Figures from the strongest evidence to the weakest, as steps of one scale. */
export function Scale({ steps }: { steps: readonly Step[] }) {
	const most = Math.max(1, ...steps.map((s) => s.of?.value ?? 0));
	return (
		<dl className="border-line border-b">
			{steps.map((s, i) => (
				<div
					key={s.word}
					className="relative grid grid-cols-[1fr_auto] items-end gap-x-4 border-line border-t pt-3 pb-4"
				>
					<dt className="pb-0.5">
						<span className="flex items-baseline gap-2">
							{s.of ? <Source src={s.of.src} className="size-2.5" /> : <span className="w-2.5" />}
							<Link to="/definitions" hash={s.word} className="font-medium hover:underline">
								{s.word}
							</Link>
						</span>
						<span className="block pl-4.5 text-[0.875rem] text-faint leading-snug">{s.means}</span>
					</dt>
					<dd className="font-[480] text-5xl leading-[0.9] tracking-[-0.035em] md:text-6xl">
						{s.of ? <Figure of={s.of} word={s.word} bare /> : <Dash what={s.word} className="text-4xl" />}
					</dd>
					<svg
						viewBox="0 0 100 4"
						preserveAspectRatio="none"
						className={`absolute inset-x-0 -bottom-px h-1 w-full ${["text-accent", "text-accent", "text-accent/55", "text-faint/60"][i]}`}
						aria-hidden="true"
					>
						<path d={`M0 2H${(100 * (s.of?.value ?? 0)) / most}`} stroke="currentColor" strokeWidth={4} />
					</svg>
				</div>
			))}
		</dl>
	);
}
