import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { get, list } from "../api/query.ts";
import { asksOf, type ClearedPoint, type Model, type Point } from "../api/types.ts";
import { runLine } from "../lib/cli.ts";
import { amount, approx } from "../lib/money.ts";
import { useWords } from "../lib/search.ts";
import { asked } from "../lib/span.ts";
import { percent, safe } from "../lib/text.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { DataTable } from "../ui/DataTable.tsx";
import { Key, Keys } from "../ui/Keys.tsx";
import { offerColumns } from "../ui/offers.tsx";
import { Plot, type Series } from "../ui/Plot.tsx";
import { Section, Shell } from "../ui/Shell.tsx";
import { Empty, More, Partial, Skeleton, View } from "../ui/State.tsx";
import { Tabs } from "../ui/Tabs.tsx";
import { Money } from "../ui/Value.tsx";

export function Page() {
	const { slug = "" } = useParams({ strict: false });
	const q = useQuery(get("/gpus/{slug}", { path: { slug } }));
	const half = q.data && asksOf(q.data)?.value.median;
	return (
		<Shell
			kind="Model"
			title={safe(slug, 40)}
			lead="What one costs here, asked and paid, how many are free, and who sells them."
			aside={
				<p className="flex gap-6 text-[0.9375rem]">
					<Link to="/book/$slug" params={{ slug }} className="link">
						book
					</Link>
					<Link to="/offers" search={{ slug }} className="link">
						offers
					</Link>
				</p>
			}
		>
			<View of={q} loading={<Skeleton lines={1} className="mt-14 min-h-64 sm:min-h-24" />}>
				{(m) => <Head of={m} />}
			</View>
			{!q.error?.missing && (
				<>
					<Prices slug={slug} />
					<Section
						title="Rent one"
						note="The plan and the price stand there before anything is signed; the cap is the most that it can cost."
					>
						<div className="max-w-4xl">
							<CopyCommand line={runLine({ slug, rate: half && amount(half) })} />
						</div>
					</Section>
					<Sellers slug={slug} />
				</>
			)}
		</Shell>
	);
}

function Head({ of: m }: { of: Model }) {
	const asks = asksOf(m);
	return (
		<Keys>
			<Key word="free" of={m.gpus.free}>
				{m.gpus.free.value} <span className="text-faint">of {m.gpus.announced.value}</span>
			</Key>
			<Key word="reachable" of={m.gpus.reachable} />
			<Key word="leased" of={m.gpus.leased} />
			<Key word="wanted" of={m.wanted} />
			<Key word="asks" name="median ask, SOL/h" of={asks}>
				<Money of={asks?.value.median} bare />
			</Key>
			<Key word="cleared" name="cleared in 24 h, SOL/h" of={m.cleared}>
				<Money of={m.cleared?.value} bare />
			</Key>
			<Key word="utilisation" of={m.utilisation}>
				{m.utilisation && percent(m.utilisation.value, 1)}
			</Key>
		</Keys>
	);
}

const spans = [
	{ key: "1", name: "24 hours" },
	{ key: "7", name: "7 days" },
	{ key: "30", name: "30 days" },
	{ key: "all", name: "all" },
] as const;

function Prices({ slug }: { slug: string }) {
	const [words, change] = useWords();
	const span = spans.find((s) => s.key === words.span)?.key ?? "7";
	const query = useMemo(() => asked(span), [span]);
	const q = useQuery(get("/gpus/{slug}/prices", { path: { slug }, query }));
	const { since } = query;
	const cleared = useQuery(get("/gpus/{slug}/cleared", { path: { slug }, query: { since } }));
	return (
		<Section
			title="Price"
			action={
				<Tabs
					label="span of time"
					tabs={spans}
					at={span}
					onChange={(k) => change({ span: k === "7" ? undefined : k })}
				/>
			}
		>
			<View
				of={q}
				loading={<Skeleton lines={7} className="min-h-[60rem] lg:min-h-[27rem]" />}
				empty={(d) =>
					d.points.length === 0 && (
						<Empty
							why="No hour of this span has a price yet."
							line={`gpuai book ${slug}`}
							note="What is asked now"
						>
							An index writes down the market once an hour from its first hour on.
						</Empty>
					)
				}
			>
				{(d) => (
					<>
						<Partial missing={cleared.error ? ["signed ends of leases (cleared prices)"] : []} />
						<Plots slug={slug} points={d.points} step={d.step_s} cleared={cleared.data?.points ?? []} />
					</>
				)}
			</View>
		</Section>
	);
}

/** A price to three digits: plots and sentences are no bills. */
const sol = (v: number) =>
	v === 0
		? "0"
		: v
				.toPrecision(3)
				.replace(/(\.\d*?)0+$/, "$1")
				.replace(/\.$/, "");

interface PlotsProps {
	slug: string;
	points: readonly Point[];
	/** Seconds of a point. */
	step: number;
	cleared: readonly ClearedPoint[];
}

function Plots({ slug, points, step, cleared }: PlotsProps) {
	const at = useMemo(() => points.map((p) => Date.parse(p.at) / 1000), [points]);
	const price = useMemo<Series[]>(() => {
		const of = (k: "p10" | "median" | "p90") => points.map((p) => approx(p.asks[k]));
		const span = (at: string) => Math.floor(Date.parse(at) / 1000 / step);
		const paid = new Map(cleared.flatMap((c) => (c.price ? [[span(c.at), c.price]] : []))); // of a day its last hour
		const hours = points.map((p) => paid.get(span(p.at)));
		return [
			{ name: "p90 to p10", values: of("p90"), ink: "soft", as: "band" },
			{ name: "p10", values: of("p10"), ink: "soft", as: "edge" },
			{ name: "median ask", values: of("median"), ink: "ink" },
			...(hours.some(Boolean)
				? [
						{
							name: "cleared",
							values: hours.map((m) => (m ? approx(m) : null)),
							ink: "accent",
							as: "dots",
						} as const,
					]
				: []),
		];
	}, [points, cleared, step]);
	const supply = useMemo<Series[]>(() => {
		const out: Series[] = [
			{ name: "announced", values: points.map((p) => p.devices), ink: "faint", as: "step" },
			{ name: "free", values: points.map((p) => p.free), ink: "ink", as: "step" },
		];
		if (points.some((p) => p.leased !== undefined))
			out.push({ name: "leased", values: points.map((p) => p.leased ?? null), ink: "accent", as: "step" });
		if (points.some((p) => p.wanted !== undefined))
			out.push({
				name: "wanted",
				values: points.map((p) => p.wanted ?? null),
				ink: "warn",
				dash: true,
				as: "step",
			});
		return out;
	}, [points]);
	const last = points.at(-1);
	const first = points[0];
	if (!last || !first) return null;
	const [now, then] = [approx(last.asks.median), approx(first.asks.median)];
	const moved = then > 0 ? Math.round((100 * (now - then)) / then) : 0;
	const than = `, ${moved === 0 ? "as" : `${Math.abs(moved)} % ${moved > 0 ? "more" : "less"} than`} at the beginning of this span`;
	return (
		<div className="grid gap-x-12 gap-y-12 lg:grid-cols-[3fr_2fr] lg:items-start">
			<Plot
				title="What is asked"
				summary={`Half of the devices ask ${sol(now)} SOL/h or less${points.length > 1 ? than : ""}; nine of ten ask ${sol(approx(last.asks.p90))} or less.`}
				at={at}
				series={price}
				unit="SOL/h"
				show={sol}
				file={`${slug}-prices`}
			/>
			<Plot
				title="Supply and demand"
				summary={supplied(last)}
				at={at}
				series={supply}
				unit="devices"
				show={(v) => String(Math.round(v))}
				whole
				file={`${slug}-supply`}
			/>
		</div>
	);
}

function supplied(p: Point): string {
	const now = `When last written down, ${p.free} of ${p.devices} devices were free: ${percent(p.devices - p.free, p.devices)} taken.`;
	return p.wanted ? `${now} Customers who wait want ${p.wanted}.` : now;
}

function Sellers({ slug }: { slug: string }) {
	const q = useInfiniteQuery(list("/offers", { query: { slug } }));
	const columns = useMemo(() => offerColumns({ model: false }), []);
	return (
		<Section title="Who sells" note="Offers as their providers signed them, the cheapest first.">
			<View
				of={q}
				lines={6}
				empty={(d) =>
					d.every((p) => p.offers.length === 0) && (
						<Empty
							why={`Nobody sells ${safe(slug, 40)} now.`}
							line="gpuai offers --all"
							note="What else there is"
						/>
					)
				}
			>
				{(d) => (
					<DataTable
						caption={`offers of ${slug}`}
						rows={d.flatMap((p) => p.offers)}
						columns={columns}
						noun={["offer", "offers"]}
						rowKey={(o) => `${o.peer} ${o.group}`}
						sort="rate"
						file={`${slug}-offers`}
						more={<More of={q} />}
					/>
				)}
			</View>
		</Section>
	);
}
