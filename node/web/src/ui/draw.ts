import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { PlotProps, Series } from "./Plot.tsx";

type Props = PlotProps & { when: (v: number) => string };

/** Colours as they are now: a canvas does not know the page's variables. */
function palette(root: HTMLElement): (name: string, alpha?: number) => string {
	const probe = document.createElement("span");
	probe.style.transitionProperty = "none"; // else its colour would still be the one before
	root.append(probe);
	const known = new Map<string, string>();
	return (name, alpha = 1) => {
		const key = `${name}/${alpha}`;
		let c = known.get(key);
		if (c === undefined) {
			probe.style.color =
				alpha === 1
					? `var(--color-${name})`
					: `color-mix(in srgb, var(--color-${name}) ${alpha * 100}%, transparent)`;
			c = getComputedStyle(probe).color;
			known.set(key, c);
		}
		return c;
	};
}

const font = '12px "Hanken Grotesk", system-ui, sans-serif';

/** Draws into root, and again at another width or theme. Returns what ends it. */
export function draw(root: HTMLElement, p: Props, height: number): () => void {
	let plot: uPlot | undefined;
	const make = () => {
		plot?.destroy();
		root.replaceChildren();
		const colour = palette(root);
		const data = [p.at as number[], ...p.series.map((s) => s.values as (number | null)[])] as uPlot.AlignedData;
		plot = new uPlot(options(p, root.clientWidth, height, colour), data, root);
	};
	make();
	const sized = new ResizeObserver(() => {
		if (plot && root.clientWidth !== plot.width) plot.setSize({ width: root.clientWidth, height });
	});
	sized.observe(root);
	const themed = new MutationObserver(make);
	themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
	const dark = matchMedia("(prefers-color-scheme: dark)");
	dark.addEventListener("change", make);
	return () => {
		sized.disconnect();
		themed.disconnect();
		dark.removeEventListener("change", make);
		plot?.destroy();
	};
}

function options(p: Props, width: number, height: number, colour: (n: string, a?: number) => string): uPlot.Options {
	const axis = { font, stroke: colour("faint"), ticks: { show: false }, border: { show: false } };
	const bands: uPlot.Band[] = [];
	p.series.forEach((s, i) => {
		if (s.as === "band") bands.push({ series: [i + 1, i + 2], fill: colour(s.ink, 0.14) });
	});
	const narrow = width < 480;
	return {
		width,
		height,
		padding: [12, 8, 0, 0],
		tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "Etc/UTC"),
		legend: { show: false },
		cursor: { points: { size: 6 }, y: false, drag: { x: false, y: false } },
		scales: { x: { time: p.x !== "value", ...(p.x !== "value" && { range: span }) }, y: { range: reach } },
		series: [{}, ...p.series.map((s) => line(s, colour, p.at.length === 1))],
		bands,
		axes: [
			{
				...axis,
				space: narrow ? 90 : 70,
				grid: { show: false },
				align: 1,
				values: p.x === "value" ? (_u: uPlot, vs: number[]) => vs.map((v) => p.when(v)) : moments,
			},
			{
				...axis,
				side: 1,
				size: (_u, values) => 16 + 7 * Math.max(3, ...(values ?? []).map((v) => v.length)),
				space: 48,
				...(p.whole && { incrs: wholes }),
				grid: { stroke: colour("line"), width: 1 },
				values: (_u, vs) => vs.map((v) => p.show(v)),
			},
		],
		plugins: [tip(p)],
	};
}

/** Half a day around a moment that stands alone: uPlot would draw a thousand days from it on. */
function span(u: uPlot, first: number, last: number): [number, number] {
	return u.data[0].length === 1 ? [first - 43_200, first + 43_200] : [first, last];
}

/** Steps of an axis of things that are counted. */
const wholes = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6].map((e) => n * 10 ** e)).sort((a, b) => a - b);

/** From a little below what there is to a little above; from 0 where all is near it. */
function reach(_u: uPlot, low: number | null, high: number | null): [number, number] {
	if (low === null || high === null || !Number.isFinite(low)) return [0, 1];
	const span = high - low || Math.abs(high) || 1;
	const bottom = low - span * 0.12;
	return [low >= 0 && (bottom < 0 || low < span) ? 0 : bottom, high + span * 0.12];
}

/** lone: there is one moment only, and a point is all that can be seen of it. */
function line({ ink, as, dash, fill }: Series, colour: (n: string, a?: number) => string, lone: boolean): uPlot.Series {
	const s: uPlot.Series = {
		stroke: colour(ink),
		width: as === "band" || as === "edge" ? 0 : 1.75,
		points: {
			show: as === "dots" || (lone && as !== "band" && as !== "edge"),
			size: lone ? 6 : 4,
			width: 0,
			fill: colour(ink),
		},
	};
	if (as === "step") s.paths = uPlot.paths.stepped?.({ align: 1 }) as uPlot.Series.PathBuilder;
	if (as === "dots") s.paths = () => null;
	if (fill) s.fill = colour(ink, 0.08);
	if (dash) s.dash = [4, 4];
	return s;
}

/** Hours as 14:00, midnights as 24 Nov: days and hours are UTC, as all dates of the site. */
function moments(_u: uPlot, at: number[]): string[] {
	return at.map((t) => {
		const d = new Date(t * 1000).toUTCString(); // "Tue, 24 Nov 2026 14:00:00 GMT"
		return t % 86_400 === 0 ? d.slice(5, 11).replace(/^0/, "") : d.slice(17, 22);
	});
}

/** The values below the pointer. */
function tip(p: Props): uPlot.Plugin {
	let box: HTMLDivElement;
	return {
		hooks: {
			init: (u) => {
				box = document.createElement("div");
				box.className = "plot-tip";
				u.over.append(box);
			},
			setCursor: (u) => {
				const i = u.cursor.idx;
				if (i === null || i === undefined || (u.cursor.left ?? -1) < 0) {
					box.hidden = true;
					return;
				}
				box.hidden = false;
				const head = document.createElement("div");
				head.textContent = p.when(p.at[i] ?? 0);
				const lines = p.series.map((s) => {
					const v = s.values[i];
					const row = document.createElement("div");
					row.textContent = `${s.name}  ${v === null || v === undefined ? "—" : p.show(v)}`;
					return row;
				});
				box.replaceChildren(head, ...lines);
				const left = u.cursor.left ?? 0;
				const right = left > u.over.clientWidth / 2;
				box.style.left = right ? "" : `${left + 12}px`;
				box.style.right = right ? `${u.over.clientWidth - left + 12}px` : "";
			},
		},
	};
}
