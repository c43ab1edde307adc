import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import { get } from "../api/query.ts";
import type { Bid, Depth, Level } from "../api/types.ts";
import { approx } from "../lib/money.ts";
import { count, safe } from "../lib/text.ts";
import { lasting } from "../lib/time.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { Key, Keys } from "../ui/Keys.tsx";
import { Plot, type Series } from "../ui/Plot.tsx";
import { Section, Shell } from "../ui/Shell.tsx";
import { Empty, View } from "../ui/State.tsx";
import { Money } from "../ui/Value.tsx";

export function Page() {
	const { slug = "" } = useParams({ strict: false });
	const q = useQuery(get("/book/{slug}", { path: { slug } }));
	return (
		<Shell
			kind={
				<Link to="/gpus/$slug" params={{ slug }} className="link">
					{safe(slug, 40)}
				</Link>
			}
			title={`Book of ${safe(slug, 40)}`}
			head="Book"
			lead="What is asked at each price, the cheapest first, and what customers who wait would pay. No order is matched here: a customer's own node asks the rigs that it likes, and each answers with a binding quote."
		>
			<View
				of={q}
				lines={9}
				empty={(d) =>
					d.asks.length + d.bids.length === 0 && (
						<Empty
							why="Nothing is asked for this model."
							line={`gpuai run --wait 2h --gpu ${slug} --max-rate 0.003/h --max-total 0.02 pytorch/pytorch -- nvidia-smi`}
							note="Wait for a rig that asks so much or less"
						/>
					)
				}
			>
				{(d) => <Market of={d} />}
			</View>
		</Shell>
	);
}

function Market({ of: d }: { of: Depth }) {
	const best = d.asks.find((l) => l.free > 0);
	const free = d.asks.at(-1)?.sum ?? 0;
	const bid = d.bids.find((b) => b.rate);
	return (
		<>
			<Keys>
				<Key word="asks" name="best ask with a device free, SOL/h" of={best && d}>
					<Money of={best?.rate} bare />
				</Key>
				<Key word="wanted" name="best bid, SOL/h" of={bid && d}>
					<Money of={bid?.rate} bare />
				</Key>
				<Key word="spread" name="spread, SOL/h" of={d.spread}>
					<Money of={d.spread?.value} bare />
				</Key>
				<Key word="free" of={d}>
					{free}
				</Key>
				<Key word="fill" name="time to fill, median" of={d.fill}>
					{d.fill && lasting(d.fill.value_s)}
				</Key>
			</Keys>
			<Section title="Depth">
				<Curve of={d} />
			</Section>
			<div className={`grid gap-x-16 ${d.bids.length > 0 ? "lg:grid-cols-[3fr_2fr]" : ""}`}>
				<Section title="Asks" note={`${count(d.n, "offer")}, the cheapest first.`}>
					<Levels
						side="ask"
						head={["Rate, SOL/h", "Free", "Of", "Offers", "Up to here"]}
						rows={d.asks.map(askRow)}
					/>
				</Section>
				{d.bids.length > 0 && (
					<Section title="Bids" note="Customers who wait, the highest first.">
						<Levels
							side="bid"
							head={["Rate, SOL/h", "Wanted", "Wants", "Up to here"]}
							rows={d.bids.map(bidRow)}
						/>
					</Section>
				)}
			</div>
			<Section title="Check it" note="Your own node hears the same offers.">
				<div className="max-w-2xl">
					<CopyCommand line={`gpuai book ${d.slug}`} />
				</div>
			</Section>
		</>
	);
}

const sol = (v: number) =>
	v
		.toPrecision(3)
		.replace(/(\.\d*?)0+$/, "$1")
		.replace(/\.$/, "");

function Curve({ of: d }: { of: Depth }) {
	const { at, series, sentence } = useMemo(() => {
		const asks = d.asks.map((l) => [approx(l.rate), l.sum] as const);
		const bids = d.bids.flatMap((b) => (b.rate ? [[approx(b.rate), b.sum] as const] : []));
		const at = [...new Set([...asks, ...bids].map(([x]) => x))].sort((a, b) => a - b);
		const upTo = (x: number) => asks.findLast(([r]) => r <= x)?.[1] ?? null;
		const from = (x: number) => bids.findLast(([r]) => r >= x)?.[1] ?? null;
		const series: Series[] = [
			{ name: "free at this price or less", values: at.map(upTo), ink: "ink", as: "step", fill: true },
		];
		if (bids.length > 0)
			series.push({
				name: "wanted at this price or more",
				values: at.map(from),
				ink: "warn",
				as: "step",
				fill: true,
			});
		const all = asks.at(-1)?.[1] ?? 0;
		const half = all > 0 ? asks.find(([, n]) => n >= all / 2) : undefined;
		const wanted = d.bids.at(-1)?.sum ?? 0;
		const ask = half
			? `${count(all, "device")} ${all === 1 ? "is" : "are"} free; half of them ask ${sol(half[0])} SOL/h or less.`
			: asks.length > 0
				? "All devices are taken."
				: "Nothing is asked.";
		const sentence = wanted > 0 ? `${ask} Customers who wait want ${count(wanted, "device")}.` : ask;
		return { at, series, sentence };
	}, [d]);
	return (
		<Plot
			title="How many devices are free up to each price"
			summary={sentence}
			at={at}
			x="value"
			xName="SOL/h"
			showX={sol}
			series={series}
			unit="devices"
			show={(v) => String(Math.round(v))}
			file={`${d.slug}-depth`}
			height={320}
		/>
	);
}

interface LevelRow {
	key: string;
	cells: ReactNode[];
	sum: number;
}

function askRow(l: Level): LevelRow {
	return {
		key: l.rate.amount,
		cells: [<Money key="rate" of={l.rate} places={6} bare />, l.free, l.devices, l.offers, l.sum],
		sum: l.sum,
	};
}

function bidRow(b: Bid): LevelRow {
	const rate = b.rate ? <Money key="rate" of={b.rate} places={6} bare /> : "any";
	return { key: b.rate?.amount ?? "any", cells: [rate, b.devices, b.wants, b.sum], sum: b.sum };
}

/** Levels of one side; the line below each is as long as its share of all, so that they draw the depth, too. */
function Levels({ side, head, rows }: { side: "ask" | "bid"; head: string[]; rows: LevelRow[] }) {
	const most = rows.at(-1)?.sum || 1;
	const place = (i: number) => {
		const middle = i > 0 && i < head.length - 1;
		return `${i ? "pl-4 text-right" : "text-left"} ${middle && i > 1 ? "text-faint max-sm:hidden" : ""}`;
	};
	return (
		<table className="w-full text-[0.9375rem]">
			<caption className="sr-only">{side}s by price</caption>
			<thead>
				<tr className="label border-line border-b">
					{head.map((h, i) => (
						<th key={h} scope="col" className={`pb-2 font-normal ${place(i)}`}>
							{h}
						</th>
					))}
				</tr>
			</thead>
			<tbody>
				{rows.map((r) => (
					<tr key={r.key} className="relative border-line border-b">
						{r.cells.map((c, i) => (
							<td key={head[i]} className={`py-2 ${place(i)}`}>
								{c}
								{i === 0 && (
									<Length of={r.sum / most} ink={side === "ask" ? "text-soft" : "text-warn"} />
								)}
							</td>
						))}
					</tr>
				))}
			</tbody>
		</table>
	);
}

function Length({ of, ink }: { of: number; ink: string }) {
	return (
		<svg
			viewBox="0 0 100 2"
			preserveAspectRatio="none"
			className={`absolute inset-x-0 -bottom-px h-0.5 w-full ${ink}`}
			aria-hidden="true"
		>
			<path d={`M100 1H${100 - 100 * of}`} stroke="currentColor" strokeWidth={2} />
		</svg>
	);
}
