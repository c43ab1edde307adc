import { type ReactNode, useEffect, useRef, useState } from "react";
import { csv, download } from "../lib/csv.ts";
import { utc } from "../lib/time.ts";
import { Skeleton } from "./State.tsx";

export type Ink = "ink" | "soft" | "faint" | "accent" | "warn";

export interface Series {
	name: string;
	values: readonly (number | null)[];
	ink: Ink;
	/** line: from point to point; step: level until the next; band: the room down to the next series, its edge. */
	as?: "line" | "step" | "band" | "edge" | "dots";
	dash?: boolean;
	fill?: boolean;
}

export interface PlotProps {
	title: string;
	/** One sentence that says what is to be seen: for those who do not see the drawing, too. */
	summary: string;
	/** Moments in unix seconds, or values if x is "value". */
	at: readonly number[];
	x?: "time" | "value";
	xName?: string;
	series: readonly Series[];
	unit: string;
	/** How a value reads. */
	show: (v: number) => string;
	/** Values are counted: no ticks between whole ones. */
	whole?: boolean;
	showX?: (v: number) => string;
	file: string;
	height?: number;
	action?: ReactNode;
}

/** A drawing of series with its sentence, the same as a table, and as CSV. */
export function Plot(p: PlotProps) {
	const [table, setTable] = useState(false);
	const when = p.showX ?? ((v: number) => (p.x === "value" ? String(v) : utc(v * 1000).slice(0, 16)));
	const save = () =>
		download(
			`${p.file}.csv`,
			csv(
				[p.xName ?? "at", ...p.series.map((s) => `${s.name} (${p.unit})`)],
				p.at.map((x, i) => [
					p.x === "value" ? x : new Date(x * 1000).toISOString(),
					...p.series.map((s) => s.values[i] ?? null),
				]),
			),
		);
	return (
		<figure className="min-w-0">
			<figcaption>
				<div className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-1">
					<h3 className="font-medium">{p.title}</h3>
					<div className="flex items-baseline gap-4 text-[0.875rem]">
						{p.action}
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
				</div>
				<p className="mt-1 max-w-[66ch] text-[0.9375rem] text-soft">{p.summary}</p>
				{!table && <Legend series={p.series} unit={p.unit} />}
			</figcaption>
			<div className="mt-3">{table ? <Rows {...p} when={when} /> : <Canvas {...p} when={when} />}</div>
		</figure>
	);
}

const strokes: Record<Ink, string> = {
	ink: "border-ink",
	soft: "border-soft",
	faint: "border-faint",
	accent: "border-accent",
	warn: "border-warn",
};

function Legend({ series, unit }: { series: readonly Series[]; unit: string }) {
	return (
		<ul className="mt-3 flex flex-wrap gap-x-5 gap-y-1 text-[0.8125rem] text-faint">
			{series
				.filter((s) => s.as !== "edge")
				.map((s) => (
					<li key={s.name} className="flex items-center gap-2">
						<span
							className={`w-4 ${s.as === "band" ? "border-t-8 opacity-25" : s.as === "dots" ? "w-1.5! border-t-6 rounded-full" : "border-t-2"} ${s.dash ? "border-dashed" : ""} ${strokes[s.ink]}`}
						/>
						{s.name}
					</li>
				))}
			<li className="ml-auto">{unit}</li>
		</ul>
	);
}

function Rows(p: PlotProps & { when: (v: number) => string }) {
	return (
		// biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
		<section className="max-h-80 overflow-auto" tabIndex={0} aria-label={`${p.title}, as a table`}>
			<table className="w-full text-[0.875rem]">
				<thead className="sticky top-0 bg-paper text-faint">
					<tr>
						<th scope="col" className="py-1.5 pr-4 text-left font-normal">
							{p.xName ?? "at"}
						</th>
						{p.series.map((s) => (
							<th key={s.name} scope="col" className="py-1.5 pl-4 text-right font-normal">
								{s.name}
							</th>
						))}
					</tr>
				</thead>
				<tbody>
					{p.at.map((x, i) => (
						<tr key={`${x}-${i}`} className="border-line border-t">
							<th scope="row" className="py-1.5 pr-4 text-left font-normal">
								{p.when(x)}
							</th>
							{p.series.map((s) => {
								const v = s.values[i];
								return (
									<td key={s.name} className="py-1.5 pl-4 text-right">
										{v === null || v === undefined ? "—" : p.show(v)}
									</td>
								);
							})}
						</tr>
					))}
				</tbody>
			</table>
		</section>
	);
}

function Canvas(p: PlotProps & { when: (v: number) => string }) {
	const ref = useRef<HTMLDivElement>(null);
	const [ready, setReady] = useState(false);
	const { at, series, height = 280 } = p;
	const said = useRef(p); // titles and units do not change while the same series stand there
	useEffect(() => {
		let gone = false;
		let end: (() => void) | undefined;
		void import("./draw.ts").then(({ draw }) => {
			if (gone || !ref.current) return;
			end = draw(ref.current, { ...said.current, at, series }, height);
			setReady(true);
		});
		return () => {
			gone = true;
			end?.();
		};
	}, [at, series, height]);
	return (
		<div className="relative" style={{ minHeight: height }}>
			{!ready && <Skeleton lines={5} className="absolute inset-x-0" />}
			<div ref={ref} role="img" aria-label={`${p.title}. ${p.summary}`} />
		</div>
	);
}
