import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { get } from "../api/query.ts";
import { asksOf, type Lease, type Model, type Summary } from "../api/types.ts";
import { approx } from "../lib/money.ts";
import { lasting } from "../lib/time.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { Dash, Figure } from "../ui/Figure.tsx";
import { Scale } from "../ui/Scale.tsx";
import { Section, Shell } from "../ui/Shell.tsx";
import { Share, Spark } from "../ui/Spark.tsx";
import { Empty, Skeleton, View } from "../ui/State.tsx";
import { Id, Money, Time } from "../ui/Value.tsx";

export function Page() {
	const q = useQuery(get("/summary"));
	return (
		<Shell
			title="GPU AI"
			head={
				<>
					Rent a GPU from <br className="max-sm:hidden" />
					the machine that has it.
				</>
			}
			lead="Owners sell GPU hours, customers buy them by the second, and an escrow on Solana pays while the job runs. Nobody stands between, so nobody has to be believed: every figure here says where it comes from, and how to check it."
			beside={
				<View of={q} loading={<Skeleton lines={4} />}>
					{(d) => <Evidence of={d} />}
				</View>
			}
			below={
				<div className="mt-8 max-w-xl">
					<CopyCommand line="gpuai offers" note="See what is for rent, from your own node" />
				</div>
			}
		>
			{/* What goes wrong is said once, above. */}
			{q.data ? <Market of={q.data} /> : !q.error && <Skeleton lines={10} className="mt-20" />}
		</Shell>
	);
}

function Evidence({ of: { gpus } }: { of: Summary }) {
	return (
		<Scale
			steps={[
				{ word: "proven", means: "hardware checked within a day", of: gpus.proven },
				{ word: "leased", means: "paid for on the chain right now", of: gpus.leased },
				{ word: "reachable", means: "answered within ten minutes", of: gpus.reachable },
				{ word: "announced", means: "what providers say they have", of: gpus.announced },
			]}
		/>
	);
}

function Market({ of: d }: { of: Summary }) {
	return (
		<>
			<Section
				title="Free now"
				note={
					<>
						<Figure of={d.gpus.free} word="free" bare /> devices on <Figure of={d.rigs} word="rigs" bare />{" "}
						rigs. Models with most of them first
					</>
				}
				action={
					<Link to="/gpus" className="link">
						all models
					</Link>
				}
			>
				{d.models.length === 0 ? (
					<Empty
						why="Nobody sells a GPU here yet."
						line="gpuai provider setup"
						note="Be the first: four questions, no key needed"
					/>
				) : (
					<Models of={d.models} />
				)}
			</Section>
			<div className="grid gap-x-16 lg:grid-cols-[1fr_2fr]">
				<Section title="Last 24 hours" note="Leases whose end both sides signed.">
					<Day of={d} />
				</Section>
				<Section
					title="Last leases"
					action={
						<Link to="/leases" className="link">
							all leases
						</Link>
					}
				>
					<Leases of={d.leases} />
				</Section>
			</div>
			<Begin />
		</>
	);
}

/** What the table of models shares its columns with. */
const columns =
	"grid grid-cols-[1fr_auto] gap-x-6 gap-y-1 md:grid-cols-[minmax(10rem,1fr)_12rem_9rem_9rem_9rem] md:items-baseline";

function Models({ of }: { of: Model[] }) {
	return (
		<table role="table" className="block">
			<caption className="sr-only">models with most devices free</caption>
			<thead role="rowgroup" className="block">
				<tr role="row" className={`${columns} label border-line border-b pb-2 max-md:sr-only`}>
					{["Model", "Free", "Lowest, SOL/h", "Median, SOL/h", "24 h"].map((h, i) => (
						<th
							key={h}
							scope="col"
							role="columnheader"
							className={`font-normal ${i ? "text-right" : "text-left"}`}
						>
							{h}
						</th>
					))}
				</tr>
			</thead>
			<tbody role="rowgroup" className="block">
				{of.map((m) => (
					<Row key={m.slug} of={m} />
				))}
			</tbody>
		</table>
	);
}

function Row({ of: m }: { of: Model }) {
	const asks = asksOf(m);
	return (
		<tr role="row" className={`${columns} border-line border-b py-3 tabular-nums hover:bg-wash/60`}>
			<td role="cell" className="min-w-0 font-medium">
				<Link to="/gpus/$slug" params={{ slug: m.slug }} className="hover:underline">
					{m.slug}
				</Link>
			</td>
			<td role="cell" className="flex items-baseline justify-end gap-3">
				<Share part={m.gpus.free.value} of={m.gpus.announced.value} className="w-16 max-sm:hidden" />
				<span className="min-w-18 text-right">
					{m.gpus.free.value} <span className="text-faint">of {m.gpus.announced.value}</span>
				</span>
			</td>
			<td role="cell" className="text-right max-md:flex max-md:gap-2 max-md:text-left">
				<span className="label md:hidden">from</span>
				<Money of={asks?.value.low} places={6} bare />
			</td>
			<td role="cell" className="text-right">
				<span className="label mr-2 md:hidden">median</span>
				<Money of={asks?.value.median} places={6} bare />
			</td>
			<td role="cell" className="text-right max-md:hidden">
				<Trend slug={m.slug} />
			</td>
		</tr>
	);
}

/** A day of the median price. It starts at a full hour, so that all readers ask for the same answer. */
function Trend({ slug }: { slug: string }) {
	const since = new Date(Math.floor(Date.now() / 3600_000) * 3600_000 - 24 * 3600_000).toISOString();
	const { data } = useQuery(get("/gpus/{slug}/prices", { path: { slug }, query: { since } }));
	if (!data || data.points.length < 2) return <Dash what="prices of 24 hours" />;
	return <Spark values={data.points.map((p) => approx(p.asks.median))} />;
}

function Day({ of: d }: { of: Summary }) {
	return (
		<dl>
			<dt className="label">jobs</dt>
			<dd className="font-[480] text-5xl leading-none tracking-[-0.03em]">
				<Figure of={d.jobs_24h} word="jobs" className="[&_svg]:size-[0.22em]" />
			</dd>
			<dt className="label mt-6">paid</dt>
			{d.paid_24h.map((p) => (
				<dd key={p.value.mint} className="font-[480] text-4xl leading-tight tracking-[-0.025em]">
					<Figure of={p} word="paid" className="[&_svg]:size-[0.3em]">
						<Money of={p.value} big />
					</Figure>
				</dd>
			))}
			{d.paid_24h.length === 0 && (
				<dd className="text-3xl">
					<Dash what="paid" />
				</dd>
			)}
		</dl>
	);
}

function Leases({ of }: { of: Lease[] }) {
	if (of.length === 0)
		return (
			<Empty
				why="No lease has ended here yet."
				line="gpuai run --gpu any --max-total 0.02 pytorch/pytorch -- nvidia-smi"
				note="Run a first job"
			/>
		);
	return (
		<ul className="tabular-nums">
			{of.map((l) => (
				<li
					key={l.lease}
					className="grid grid-cols-[1fr_auto] items-baseline gap-x-6 border-line border-b py-3 first:pt-0 md:grid-cols-[11rem_1fr_6rem_10rem]"
				>
					<Link to="/leases/$id" params={{ id: l.lease }} className="font-medium hover:underline">
						{l.devices > 1 ? `${l.devices} × ` : ""}
						{l.slug}
					</Link>
					<span className="text-soft max-md:order-3">
						<Id id={l.provider} to="/providers/$peer" params={{ peer: l.provider }} copy={false} /> ·{" "}
						{lasting(l.billable_s)}
					</span>
					<Time at={l.ended_at} className="text-faint max-md:order-4 max-md:text-right" />
					<span className="text-right">
						<Money of={l.amount} places={9} />
					</span>
				</li>
			))}
		</ul>
	);
}

/** For a reader who has never rented or sold one. */
function Begin() {
	const steps = [
		{
			title: "Rent one",
			lines: ["gpuai wallet new", "gpuai run --gpu rtx-4090 --max-total 0.02 pytorch/pytorch -- nvidia-smi"],
			text: "Put a little SOL on the new address: its balance is all that can be spent. You pay by the second; what is not used comes back at the end.",
		},
		{
			title: "Sell yours",
			lines: ["gpuai doctor", "gpuai provider setup"],
			text: "The doctor says what is missing on your machine. Setup asks four things, takes no private key, and lists your GPUs.",
		},
		{
			title: "Believe nothing",
			lines: ["gpuai indexer run", "gpuai indexer compare A B"],
			text: "This page is one indexer's view. Run your own from nothing and compare: the first row that differs is shown beside the chain.",
		},
	];
	return (
		<Section title="Begin">
			<div className="grid gap-x-12 gap-y-10 md:grid-cols-3">
				{steps.map((s) => (
					<div key={s.title} className="min-w-0">
						<h3 className="font-medium">{s.title}</h3>
						<p className="mt-1 mb-4 text-[0.9375rem] text-soft">{s.text}</p>
						<div className="grid gap-2">
							{s.lines.map((l) => (
								<CopyCommand key={l} line={l} />
							))}
						</div>
					</div>
				))}
			</div>
		</Section>
	);
}
