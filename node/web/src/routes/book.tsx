import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Money as Amount, Origin } from "../api/client.ts";
import { get } from "../api/query.ts";
import type { Level } from "../api/types.ts";
import { approx } from "../lib/money.ts";
import { count, safe } from "../lib/text.ts";
import { lasting } from "../lib/time.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { Key, Keys } from "../ui/Keys.tsx";
import { Plot, type Series } from "../ui/Plot.tsx";
import { Section, Shell } from "../ui/Shell.tsx";
import { Empty, View } from "../ui/State.tsx";
import { Money } from "../ui/Value.tsx";

/** A book; bids, spread and fill are absent where an index knows none. */
interface Book extends Origin {
	slug: string;
	asks: Level[];
	bids?: Level[];
	spread?: Amount;
	fill?: Origin & { value_s?: number };
}

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
					d.asks.length === 0 && (
						<Empty
							why="Nothing is asked for this model."
							line={`gpuai run --wait 2h --gpu ${slug} --max-rate 0.003/h --max-total 0.02 pytorch/pytorch -- nvidia-smi`}
							note="Wait for a rig that asks so much or less"
						/>
					)
				}
			>
				{(d) => <Depth of={d as Book} />}
			</View>
		</Shell>
	);
}

function Depth({ of: d }: { of: Book }) {
	const best = d.asks.find((l) => l.free > 0);
	const free = d.asks.at(-1)?.sum ?? 0;
	const bids = d.bids ?? [];
	return (
		<>
			<Keys>
				<Key word="asks" name="best ask with a device free, SOL/h" of={best && d}>
					<Money of={best?.rate} bare />
				</Key>
				<Key word="wanted" name="best bid, SOL/h" of={bids[0] && { ...d, src: "signed" }}>
					<Money of={bids[0]?.rate} bare />
				</Key>
				<Key word="spread" name="spread, SOL/h" of={d.spread && d}>
					<Money of={d.spread} bare />
				</Key>
				<Key word="free" of={d}>
					{free}
				</Key>
				<Key word="fill" name="time to fill, median" of={d.fill}>
					{d.fill?.value_s !== undefined && lasting(d.fill.value_s)}
				</Key>
			</Keys>
			<Section title="Depth">
				<Curve of={d} />
			</Section>
			<div className={`grid gap-x-16 ${bids.length > 0 ? "lg:grid-cols-2" : ""}`}>
				<Section title="Asks" note={`${count(d.n, "offer")}, the cheapest first.`}>
					<Levels of={d.asks} side="ask" />
				</Section>
				{bids.length > 0 && (
					<Section title="Bids" note="Wishes of customers who wait, the highest first.">
						<Levels of={bids} side="bid" />
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

function Curve({ of: d }: { of: Book }) {
	const { at, series, sentence } = useMemo(() => {
		const asks = d.asks.map((l) => [approx(l.rate), l.sum] as const);
		const bids = (d.bids ?? []).map((l) => [approx(l.rate), l.sum] as const);
		const at = [...new Set([...asks, ...bids].map(([x]) => x))].sort((a, b) => a - b);
		const upTo = (x: number) => asks.findLast(([r]) => r <= x)?.[1] ?? null;
		const from = (x: number) => bids.findLast(([r]) => r >= x)?.[1] ?? null;
		const series: Series[] = [{ name: "free at this price or less", values: at.map(upTo), ink: "ink", as: "step" }];
		if (bids.length > 0)
			series.push({ name: "wanted at this price or more", values: at.map(from), ink: "accent", as: "step" });
		const all = asks.at(-1)?.[1] ?? 0;
		const half = asks.find(([, n]) => n >= all / 2);
		const sentence = half
			? `${count(all, "device")} ${all === 1 ? "is" : "are"} free; half of them ask ${sol(half[0])} SOL/h or less.`
			: "All devices are taken.";
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

function Levels({ of, side }: { of: readonly Level[]; side: "ask" | "bid" }) {
	const most = of.at(-1)?.sum || 1;
	return (
		<table className="w-full text-[0.9375rem]">
			<caption className="sr-only">{side}s by price</caption>
			<thead>
				<tr className="label border-line border-b">
					{[
						"Rate, SOL/h",
						side === "ask" ? "Free" : "Wanted",
						side === "ask" ? "Of" : "",
						side === "ask" ? "Offers" : "Wants",
						"Up to here",
					].map((h, i) => (
						<th
							key={`${h}${i}`}
							scope="col"
							className={`pb-2 font-normal ${i ? "pl-4 text-right" : "text-left"} ${i === 2 || i === 3 ? "max-sm:hidden" : ""}`}
						>
							{h}
						</th>
					))}
				</tr>
			</thead>
			<tbody>
				{of.map((l, i) => (
					<tr key={`${l.rate.amount}-${i}`} className="relative border-line border-b">
						<td className="py-2">
							<Money of={l.rate} places={6} bare />
						</td>
						<td className="py-2 pl-4 text-right">{side === "ask" ? l.free : l.devices}</td>
						<td className="py-2 pl-4 text-right text-faint max-sm:hidden">
							{side === "ask" ? l.devices : ""}
						</td>
						<td className="py-2 pl-4 text-right text-faint max-sm:hidden">{l.offers}</td>
						<td className="py-2 pl-4 text-right">
							{l.sum}
							<svg
								viewBox="0 0 100 2"
								preserveAspectRatio="none"
								className={`absolute inset-x-0 -bottom-px h-0.5 w-full ${side === "ask" ? "text-soft" : "text-accent"}`}
								aria-hidden="true"
							>
								<path
									d={`M100 1H${100 - (100 * l.sum) / most}`}
									stroke="currentColor"
									strokeWidth={2}
								/>
							</svg>
						</td>
					</tr>
				))}
			</tbody>
		</table>
	);
}
