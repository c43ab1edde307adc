import { useQuery } from "@tanstack/react-query";
import type { Count, Origin, Schemas } from "../api/client.ts";
import { get } from "../api/query.ts";
import { percent, safe } from "../lib/text.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { Figure } from "../ui/Figure.tsx";
import { Section, Shell } from "../ui/Shell.tsx";
import { Empty, Partial, View } from "../ui/State.tsx";
import { Peer, Time } from "../ui/Value.tsx";

type Compared = Schemas["Compared"];
type Network = Schemas["Network"];

export function Page() {
	const q = useQuery(get("/network"));
	return (
		<Shell
			title="Network"
			lead="Who is there: the rigs that this indexer hears, by the version they run and the country they name."
		>
			<div className="mt-12">
				<View of={q} lines={8}>
					{(d) => <Parts of={d} />}
				</View>
			</div>
		</Shell>
	);
}

function Parts({ of: n }: { of: Network }) {
	const missing = [...(n.rtt ? [] : ["its own probes"]), ...(n.gossip ? [] : ["gossip"])];
	const versions = n.versions.map((v) => ({ name: v.version, of: v.rigs }));
	const countries = [
		...n.countries.map((c) => ({ name: country(c.country), of: c.rigs })),
		...(n.elsewhere.value > 0 ? [{ name: "elsewhere", of: n.elsewhere }] : []),
	];
	return (
		<>
			<Partial missing={missing} />
			<dl className="flex flex-wrap gap-x-14 gap-y-8 border-line border-t pt-5">
				<Delay name="round trip, mean" word="round trip" of={n.rtt && { ...n.rtt, us: n.rtt.value_us }} />
				<Delay name="gossip, half within" word="gossip" of={n.gossip && { ...n.gossip, us: n.gossip.p50_us }} />
				<Delay name="gossip, 95 % within" word="gossip" of={n.gossip && { ...n.gossip, us: n.gossip.p95_us }} />
				<div>
					<dt className="label">refused</dt>
					<dd className="font-[480] text-3xl tracking-[-0.025em]">
						<Figure of={n.refused} word="refused" className="[&_svg]:size-[0.28em]" />
					</dd>
				</div>
			</dl>
			<div className="grid gap-x-16 lg:grid-cols-2">
				<Section title="By version" note="As each rig signed it.">
					<Bars of={versions} head="version" none="No rig has been heard yet." />
				</Section>
				<Section title="By country" note="As each rig says; one with fewer than three rigs is not named.">
					<Bars of={countries} head="country" none="No country has three rigs yet." />
				</Section>
			</div>
			<Compare of={n.compared} />
		</>
	);
}

function Delay({ name, word, of }: { name: string; word: string; of: (Origin & { us: number }) | undefined }) {
	const ms = of && of.us / 1000;
	return (
		<div>
			<dt className="label">{name}</dt>
			<dd className="font-[480] text-3xl tracking-[-0.025em]">
				<Figure of={of} word={word} className="[&_svg]:size-[0.28em]">
					{ms !== undefined && (
						<>
							{ms < 10 ? ms.toFixed(1) : Math.round(ms)}
							<span className="text-[0.6em] text-faint"> ms</span>
						</>
					)}
				</Figure>
			</dd>
		</div>
	);
}

const names = new Intl.DisplayNames("en", { type: "region", fallback: "code" });

/** The name of a country by its two letters; what is none stays as it is. */
function country(code: string): string {
	try {
		return names.of(code) ?? code;
	} catch {
		return code;
	}
}

function Bars({ of, head, none }: { of: { name: string; of: Count }[]; head: string; none: string }) {
	if (of.length === 0) return <Empty why={none} line="gpuai net peers" note="whom your own node knows" />;
	const all = of.reduce((n, r) => n + r.of.value, 0);
	const most = Math.max(1, ...of.map((r) => r.of.value));
	return (
		<table className="w-full text-[0.9375rem] tabular-nums">
			<caption className="sr-only">rigs by {head}</caption>
			<thead className="sr-only">
				<tr>
					<th scope="col">{head}</th>
					<th scope="col">bar</th>
					<th scope="col">rigs</th>
					<th scope="col">share</th>
				</tr>
			</thead>
			<tbody>
				{of.map((r) => (
					<tr key={r.name} className="border-line border-b">
						<th scope="row" className="py-2.5 pr-4 text-left font-normal">
							<Peer text={r.name} most={40} />
						</th>
						<td className="w-2/5 py-2.5 pr-4 max-sm:w-1/4">
							<svg
								viewBox="0 0 100 6"
								preserveAspectRatio="none"
								className="h-1.5 w-full"
								aria-hidden="true"
							>
								<rect width={(100 * r.of.value) / most} height={6} className="fill-ink/70" />
							</svg>
						</td>
						<td className="py-2.5 text-right">
							<Figure of={r.of} word="rigs" bare />
						</td>
						<td className="w-16 py-2.5 text-right text-faint">{percent(r.of.value, all)}</td>
					</tr>
				))}
			</tbody>
		</table>
	);
}

/** What came of comparing this index with others. */
function Compare({ of }: { of: Compared[] }) {
	return (
		<Section
			title="Compared with other indexers"
			note="Two that read the same chain have the same digests. Where they differ, the first row that does is named, beside a fresh read of the chain."
		>
			{of.length > 0 ? (
				<ul className="mb-8 max-w-3xl">
					{of.map((c) => (
						<li key={c.with} className="grid grid-cols-[1fr_auto] gap-x-6 border-line border-b py-3">
							<span className="wrap-anywhere">{safe(c.with, 120)}</span>
							<span className={c.agrees ? "text-accent" : "text-bad"}>
								{c.agrees ? "agrees" : "differs"}
							</span>
							<span className="text-[0.9375rem] text-soft">
								{c.failed
									? safe(c.failed, 200)
									: `${percent(c.offers_common, c.offers_common + c.offers_differ)} of Offers are the same`}
								{c.first_difference && `; first difference: ${safe(c.first_difference, 200)}`}
							</span>
							<span className="text-right text-[0.9375rem] text-faint">
								<Time at={c.at} />
							</span>
						</li>
					))}
				</ul>
			) : (
				<p className="mb-6 text-soft">This indexer has not been compared with another one yet.</p>
			)}
			<div className="max-w-3xl">
				<CopyCommand
					line={`gpuai indexer compare ${location.origin} OTHER`}
					note="compare it with one of yours"
				/>
			</div>
		</Section>
	);
}
