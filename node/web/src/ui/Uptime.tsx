import { useMemo, useState } from "react";
import type { Schemas } from "../api/client.ts";
import { csv, download } from "../lib/csv.ts";
import { count, percent } from "../lib/text.ts";

type Day = Schemas["Day"];

const shown = 90;

/** The days up to the last one that was probed, oldest first; a day without probes is there, too. */
export function days(of: readonly Day[]): (Day & { known: boolean })[] {
	const known = new Map(of.map((d) => [d.day, d]));
	const last = of
		.map((d) => d.day)
		.sort()
		.at(-1);
	if (!last) return [];
	return Array.from({ length: shown }, (_, i) => {
		const day = new Date(Date.parse(last) - (shown - 1 - i) * 86_400_000).toISOString().slice(0, 10);
		const d = known.get(day);
		return d ? { ...d, known: d.probes > 0 } : { day, probes: 0, reached: 0, known: false };
	});
}

/** How often a rig answered, a bar each day. */
export function Uptime({ of, name }: { of: readonly Day[]; name: string }) {
	const [table, setTable] = useState(false);
	const list = useMemo(() => days(of), [of]);
	const known = list.filter((d) => d.known);
	const probes = known.reduce((n, d) => n + d.probes, 0);
	const reached = known.reduce((n, d) => n + d.reached, 0);
	const missed = known.filter((d) => d.reached < d.probes).length;
	const summary =
		probes === 0
			? "This indexer has not dialled it yet."
			: `It answered ${percent(reached, probes)} of ${count(probes, "call")} on ${count(known.length, "day")}${
					missed ? `; on ${count(missed, "day")} not every one` : ""
				}.`;
	const save = () =>
		download(
			`uptime-${name}.csv`,
			csv(
				["day", "probes", "reached"],
				known.map((d) => [d.day, d.probes, d.reached]),
			),
		);
	return (
		<figure>
			<figcaption className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1">
				<div>
					<h2 className="font-medium">Calls answered, by day</h2>
					<p className="mt-1 max-w-[66ch] text-[0.9375rem] text-soft">{summary}</p>
				</div>
				<div className="flex gap-4 text-[0.875rem]">
					<button
						type="button"
						className="link text-soft"
						aria-pressed={table}
						onClick={() => setTable(!table)}
					>
						{table ? "plot" : "table"}
					</button>
					<button type="button" className="link text-soft" onClick={save}>
						CSV
					</button>
				</div>
			</figcaption>
			{table ? <Rows of={known} /> : <Bars of={list} label={`Calls answered, by day. ${summary}`} />}
		</figure>
	);
}

const tall = 56;

function Bars({ of, label }: { of: ReturnType<typeof days>; label: string }) {
	return (
		<div className="mt-4">
			<svg
				viewBox={`0 0 ${shown * 10} ${tall}`}
				preserveAspectRatio="none"
				className="h-16 w-full"
				role="img"
				aria-label={label}
			>
				{of.map((d, i) => {
					const share = d.known ? d.reached / d.probes : 0;
					const height = Math.max(2, share * tall);
					return (
						<g key={d.day}>
							<title>{d.known ? `${d.day}: ${d.reached} of ${d.probes}` : `${d.day}: not dialled`}</title>
							<rect x={i * 10} y={0} width={8} height={tall} className="fill-wash" />
							{d.known && (
								<rect
									x={i * 10}
									y={tall - height}
									width={8}
									height={height}
									className={
										share >= 0.99 ? "fill-accent" : share >= 0.9 ? "fill-accent/60" : "fill-warn"
									}
								/>
							)}
						</g>
					);
				})}
			</svg>
			<p className="mt-1 flex justify-between text-[0.8125rem] text-faint tabular-nums" aria-hidden="true">
				<span>{of[0]?.day}</span>
				<span>{of.at(-1)?.day}</span>
			</p>
		</div>
	);
}

function Rows({ of }: { of: readonly Day[] }) {
	return (
		// biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
		<section className="mt-4 max-h-72 overflow-auto" tabIndex={0} aria-label="calls answered, as a table">
			<table className="w-full max-w-md text-[0.875rem] tabular-nums">
				<thead className="sticky top-0 bg-paper text-faint">
					<tr>
						{["day", "calls", "answered"].map((h, i) => (
							<th key={h} scope="col" className={`py-1.5 font-normal ${i ? "text-right" : "text-left"}`}>
								{h}
							</th>
						))}
					</tr>
				</thead>
				<tbody>
					{[...of].reverse().map((d) => (
						<tr key={d.day} className="border-line border-t">
							<th scope="row" className="py-1.5 text-left font-normal">
								{d.day}
							</th>
							<td className="py-1.5 text-right">{d.probes}</td>
							<td className="py-1.5 text-right">{d.reached}</td>
						</tr>
					))}
				</tbody>
			</table>
		</section>
	);
}
