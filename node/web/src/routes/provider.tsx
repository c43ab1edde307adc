import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { base, type Schemas } from "../api/client.ts";
import { get, list } from "../api/query.ts";
import { readOffer, type SignedOffer } from "../lib/document.ts";
import { count, number, safe, shell, short } from "../lib/text.ts";
import { ago, lasting, moment, useNow, utc } from "../lib/time.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { type Column, DataTable } from "../ui/DataTable.tsx";
import { Dash } from "../ui/Figure.tsx";
import { leaseColumns } from "../ui/leases.tsx";
import { offerColumns } from "../ui/offers.tsx";
import { Facts, Section, Shell } from "../ui/Shell.tsx";
import { useVerdict, Verified } from "../ui/Signature.tsx";
import { Empty, More, Partial, View } from "../ui/State.tsx";
import { Uptime } from "../ui/Uptime.tsx";
import { Id, Peer, Time } from "../ui/Value.tsx";

type Provider = Schemas["ProviderPage"];

export function Page() {
	const { peer = "" } = useParams({ strict: false });
	const q = useQuery(get("/providers/{peer}", { path: { peer } }));
	return (
		<Shell
			title={`Provider ${short(peer)}`}
			kind="Provider"
			head={<span className="font-mono text-[0.5em] tracking-normal">{safe(peer, 80)}</span>}
			lead={q.data && <Lead of={q.data} />}
		>
			<div className="mt-12">
				<View of={q} lines={8}>
					{(d) => <Parts of={d} />}
				</View>
			</div>
		</Shell>
	);
}

/** The provider in a sentence. */
function Lead({ of: p }: { of: Provider }) {
	const now = useNow();
	const free =
		p.devices === 1
			? p.free
				? "which is free"
				: "which is taken"
			: `${p.free ? number(p.free) : "none"} of them free`;
	const sells = p.live
		? `Sells ${count(p.devices, "device")}, ${free}.`
		: "Its last Offer is over: it sells nothing now.";
	const reached = p.probe.reached_at;
	const met = reached
		? ` This indexer reached it ${ago(moment(reached), now)}${p.probe.rtt_us ? ` in ${Math.round(p.probe.rtt_us / 1000)} ms` : ""}.`
		: " This indexer has not reached it yet.";
	return (
		<>
			{sells}
			{met}
		</>
	);
}

function Parts({ of: p }: { of: Provider }) {
	const offers = useMemo(() => offerColumns({ model: true }).filter((c) => c.id !== "provider"), []);
	return (
		<>
			<Partial missing={p.probe.at ? [] : ["its own probes"]} />
			<div className="grid gap-x-16 gap-y-10 lg:grid-cols-[1.4fr_1fr]">
				<Uptime of={p.uptime} name={short(p.peer)} />
				<Facts
					of={[
						[
							"paid to",
							p.payout ? (
								<Id key="w" id={p.payout} to="/wallets/$addr" params={{ addr: p.payout }} />
							) : (
								<Dash />
							),
						],
						["version", <Peer key="v" text={p.version} most={24} />],
						["Offer until", <Time key="e" at={p.expires_at} />],
						["called", <Time key="c" at={p.probe.at} />],
						["answered", <Time key="a" at={p.probe.reached_at} />],
					]}
				/>
			</div>
			<Section title="What it sells" note="As it signed it, group by group.">
				{p.offers.length === 0 ? (
					<Empty why="It sells nothing now." line={`gpuai offers --all`} note="see who does" />
				) : (
					<DataTable
						caption="what this provider sells"
						name="offers"
						rows={p.offers}
						columns={offers}
						noun={["offer", "offers"]}
						rowKey={(o) => `${o.group} ${o.rate?.mint ?? ""}`}
					/>
				)}
			</Section>
			<Ends of={p.ends} />
			<Leases peer={p.peer} />
			<SignedOfferPart of={p} />
		</>
	);
}

/** How its leases ended. */
function Ends({ of }: { of: Provider["ends"] }) {
	const all = of.reduce((n, e) => n + e.n, 0);
	const columns: Column<Provider["ends"][number]>[] = [
		{
			id: "code",
			head: "End",
			lead: true,
			sort: (e) => e.code,
			text: (e) => e.code,
			cell: (e) => <span className="font-mono text-[0.875em]">{safe(e.code, 40)}</span>,
		},
		{ id: "fault", head: "Fault", sort: (e) => e.fault, text: (e) => e.fault, cell: (e) => safe(e.fault, 20) },
		{
			id: "share",
			head: "Share",
			wide: true,
			cell: (e) => (
				<svg viewBox="0 0 100 6" preserveAspectRatio="none" className="h-1.5 w-40" aria-hidden="true">
					<rect width={100} height={6} className="fill-wash" />
					<rect
						width={(100 * e.n) / all}
						height={6}
						className={e.fault === "provider" ? "fill-warn" : "fill-accent"}
					/>
				</svg>
			),
		},
		{ id: "n", head: "Leases", right: true, sort: (e) => e.n, text: (e) => e.n, cell: (e) => number(e.n) },
	];
	return (
		<Section title="How its leases ended" note="By the code and the fault that both sides signed.">
			{of.length === 0 ? (
				<Empty why="No lease of this provider has been told yet.">
					Both sides of a lease may keep its end to themselves.
				</Empty>
			) : (
				<DataTable
					caption="ends of this provider's leases"
					name="ends"
					rows={of}
					columns={columns}
					noun={["kind of end", "kinds of ends"]}
					rowKey={(e) => `${e.code} ${e.fault}`}
					sort="-n"
					file="ends"
				/>
			)}
		</Section>
	);
}

function Leases({ peer }: { peer: string }) {
	const q = useInfiniteQuery(list("/leases", { query: { provider: peer, limit: 20 } }));
	const columns = useMemo(() => leaseColumns(["provider"]), []);
	if (q.data?.every((d) => d.leases.length === 0)) return null;
	return (
		<Section
			title="Its last leases"
			action={
				<Link to="/leases" search={{ provider: peer }} className="link">
					all of them
				</Link>
			}
		>
			<View of={q}>
				{(d) => (
					<DataTable
						caption="leases of this provider, newest first"
						name="leases"
						rows={d.flatMap((p) => p.leases)}
						columns={columns}
						noun={["lease", "leases"]}
						rowKey={(l) => `${l.lease} ${l.customer}`}
						file="leases"
						more={<More of={q} />}
					/>
				)}
			</View>
		</Section>
	);
}

/** The Offer as it was signed, checked here. */
function SignedOfferPart({ of: p }: { of: Provider }) {
	const q = useQuery(get("/offers/{peer}/raw", { path: { peer: p.peer } }));
	const network = useQuery(get("/summary")).data?.network;
	const verdict = useVerdict(q.data?.envelope, "offer", p.peer, network);
	const says = verdict?.state === "verified" ? readOffer(verdict.envelope.body) : undefined;
	return (
		<Section
			title="The signed Offer"
			note="What the provider signed, without the addresses of its machine. Your browser checks it; nothing of that is asked of this indexer."
		>
			<View of={q}>
				{(raw) => (
					<div className="grid gap-x-16 gap-y-8 lg:grid-cols-2">
						<div className="min-w-0">
							<Verified of={verdict}>
								Your browser checked the signature: by the key in the peer id, for the network{" "}
								<b className="font-medium">{safe(network ?? "", 40)}</b>.
							</Verified>
							{says && <Says of={says} page={p} />}
						</div>
						<div className="min-w-0">
							<CopyCommand
								line={`curl -s ${location.origin}${base}/offers/${shell(p.peer)}/raw`}
								note="the same bytes, to check elsewhere"
							/>
							<details className="mt-5">
								<summary className="cursor-pointer text-[0.9375rem] text-soft">
									the {number(raw.envelope.length)} characters of it
								</summary>
								<Scrolled text={raw.envelope} />
							</details>
						</div>
					</div>
				)}
			</View>
		</Section>
	);
}

function Scrolled({ text }: { text: string }) {
	return (
		// biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
		<section className="mt-2 max-h-56 overflow-auto bg-wash p-3" tabIndex={0} aria-label="the signed Offer, base64">
			<code className="font-mono text-2xs wrap-anywhere">{safe(text, 12_000)}</code>
		</section>
	);
}

/** What the signed bytes say, and where this page says something else. */
function Says({ of: o, page: p }: { of: SignedOffer; page: Provider }) {
	const devices = o.groups.reduce((n, g) => n + g.devices, 0);
	const differs: string[] = [];
	if (BigInt(p.seq) === o.seq) {
		if (devices !== p.devices) differs.push(`${p.devices} devices`);
		if (o.version !== p.version) differs.push(`version ${safe(p.version, 24)}`);
		if ((o.payout ?? "") !== p.payout) differs.push(`another payout address`);
	}
	return (
		<>
			<Facts
				className="mt-4"
				of={[
					["signed", utc(Number(o.seq))],
					["good for", lasting(Number(o.lifetimeS))],
					["version", <Peer key="v" text={o.version} most={24} />],
					["paid to", <Id key="p" id={o.payout} copy={false} />],
					...o.groups.map((g, i): [string, React.ReactNode] => [
						`group ${i + 1}`,
						<span key={i}>
							{g.devices} × <Peer text={g.name || g.class} most={60} />, {g.free} free
						</span>,
					]),
				]}
			/>
			{differs.length > 0 && (
				<p className="mt-4 border-bad border-l-2 py-1 pl-4 text-bad" role="alert">
					This indexer says {differs.join(" and ")}: not what was signed. Do not believe it.
				</p>
			)}
		</>
	);
}
