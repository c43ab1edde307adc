import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Schemas } from "../api/client.ts";
import { get } from "../api/query.ts";
import { readOutcome, type Verdict } from "../lib/document.ts";
import { safe, short } from "../lib/text.ts";
import { lasting, moment, utc } from "../lib/time.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { instructionColumns, instructionKey, meaning } from "../ui/chain.tsx";
import { DataTable } from "../ui/DataTable.tsx";
import { Source, sources } from "../ui/Glyph.tsx";
import { Settled } from "../ui/leases.tsx";
import { Facts, Section, Shell } from "../ui/Shell.tsx";
import { useVerdict, Verified } from "../ui/Signature.tsx";
import { Empty, Partial, View } from "../ui/State.tsx";
import { Id, Money, moneyText } from "../ui/Value.tsx";

type Lease = Schemas["LeasePage"];

export function Page() {
	const { id = "" } = useParams({ strict: false });
	const q = useQuery(get("/leases/{id}", { path: { id } }));
	return (
		<Shell
			title={`Lease ${short(id)}`}
			kind="Lease"
			head={<span className="font-mono text-[0.5em] tracking-normal">{safe(id, 80)}</span>}
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

/** The lease in a sentence. */
function Lead({ of: l }: { of: Lease }) {
	const what = l.devices > 1 ? `${l.devices} × ${safe(l.slug, 40)}` : safe(l.slug, 40);
	return (
		<>
			{what} {l.billable_s > 0 ? `for ${lasting(l.billable_s)}` : "that never ran"}: {moneyText(l.amount)} at{" "}
			{moneyText(l.rate)} a device. It ended as{" "}
			<span className="font-mono text-[0.875em]">{safe(l.code, 40)}</span>
			{l.fault !== "none" && `, by the fault of the ${l.fault === "unknown" ? "one or the other" : l.fault}`}.
		</>
	);
}

function Parts({ of: l }: { of: Lease }) {
	return (
		<>
			<Partial missing={l.settled === undefined ? ["the chain about this channel"] : []} />
			<div className="grid gap-x-16 gap-y-10 lg:grid-cols-2">
				<Facts
					of={[
						[
							"model",
							<Link key="m" to="/gpus/$slug" params={{ slug: l.slug }} className="link">
								{safe(l.slug, 40)}
							</Link>,
						],
						[
							"provider",
							<Id key="p" id={l.provider} to="/providers/$peer" params={{ peer: l.provider }} />,
						],
						["customer", <Id key="c" id={l.customer} />],
						["outputs, SHA-256", <Id key="o" id={l.outputs} />],
					]}
				/>
				<Facts
					of={[
						["amount", <Money key="a" of={l.amount} />],
						["on the chain", <Settled key="s" of={l.settled} />],
						["channel", <Id key="c" id={l.channel} to="/channels/$addr" params={{ addr: l.channel }} />],
						["from", <Id key="f" id={l.payer} to="/wallets/$addr" params={{ addr: l.payer }} />],
						["to", <Id key="t" id={l.payee} to="/wallets/$addr" params={{ addr: l.payee }} />],
					]}
				/>
			</div>
			<Signatures of={l} />
			<Section title="What happened" note="By the clocks of those who signed it, and of the chain.">
				<Timeline of={l.timeline} />
			</Section>
			<Section title="Transactions of its channel" note="One channel may pay several leases of the same two.">
				{l.transactions.length === 0 ? (
					<Empty
						why="This index has read no transaction of the channel."
						line={`gpuai channel show ${l.channel}`}
					/>
				) : (
					<DataTable
						caption="instructions of the lease's channel, oldest first"
						name="tx"
						rows={l.transactions}
						columns={instructionColumns}
						noun={["instruction", "instructions"]}
						rowKey={instructionKey}
						file={`transactions-${short(l.lease)}`}
					/>
				)}
			</Section>
		</>
	);
}

/** Both sides' documents, checked here, and whether they say what this page says. */
function Signatures({ of: l }: { of: Lease }) {
	const network = useQuery(get("/summary")).data?.network;
	const by = (side: "provider" | "customer") => l.documents.find((d) => d.by === side)?.envelope;
	const provider = useVerdict(by("provider"), "outcome", l.provider, network);
	const customer = useVerdict(by("customer"), "outcome", l.customer, network);
	const differs = useMemo(() => [...differences(l, provider), ...differences(l, customer)], [l, provider, customer]);
	return (
		<Section
			title="Both signatures"
			note="Each side signed how the lease ended, for how long it ran and what it cost. Your browser checks both, and compares them with this page."
		>
			<div className="grid gap-x-16 gap-y-6 lg:grid-cols-2">
				{(["provider", "customer"] as const).map((side) =>
					by(side) ? (
						<Verified key={side} of={side === "provider" ? provider : customer} by={side}>
							Signed by <Id id={l[side]} copy={false} /> for the network{" "}
							<b className="font-medium">{safe(network ?? "", 40)}</b>.
						</Verified>
					) : (
						<p key={side} className="border-line border-l-2 py-1 pl-4 text-soft">
							This index has no document of the {side}.
						</p>
					),
				)}
			</div>
			{differs.length > 0 && (
				<p className="mt-6 border-bad border-l-2 py-1 pl-4 text-bad" role="alert">
					This indexer says another {[...new Set(differs)].join(" and ")} than was signed. Do not believe it.
				</p>
			)}
			<div className="mt-6 max-w-2xl">
				<CopyCommand line={`gpuai receipt ${l.lease}`} note="if it was yours, your own node knows it, too" />
			</div>
		</Section>
	);
}

/** In what a page differs from what was signed. */
function differences(l: Lease, v: Verdict | undefined): string[] {
	if (v?.state !== "verified") return [];
	const o = readOutcome(v.envelope.body);
	if (!o) return ["document"];
	const out: string[] = [];
	if (o.lease !== l.lease) out.push("lease");
	if (o.code !== l.code) out.push("end");
	if (o.amount.toString() !== l.amount.amount) out.push("amount");
	if (o.ended !== moment(l.ended_at)) out.push("time of the end");
	if ((o.outputs ?? "") !== (l.outputs ?? "")) out.push("digest of outputs");
	if (o.deal && (o.deal.class !== l.slug || o.deal.devices !== l.devices)) out.push("model");
	if (o.deal && o.deal.rate.toString() !== l.rate.amount) out.push("rate");
	return out;
}

function Timeline({ of }: { of: Lease["timeline"] }) {
	const first = of[0] && moment(of[0].at);
	return (
		<ol className="max-w-3xl">
			{of.map((m, i) => (
				<li
					key={`${m.at} ${m.what} ${i}`}
					className="grid grid-cols-[auto_1fr_auto] items-baseline gap-x-4 border-line border-b py-2.5 last:border-b-0"
				>
					<Source src={m.src} className="size-2.5" />
					<span>
						<span className="font-medium">{safe(m.what, 60).replaceAll("_", " ")}</span>
						<span className="text-[0.9375rem] text-faint"> {meaning(m.what) ?? sources[m.src]}</span>
					</span>
					<span className="text-right tabular-nums">
						<time dateTime={m.at} className="whitespace-nowrap text-[0.9375rem] text-soft">
							{utc(moment(m.at))}
						</time>
						{i > 0 && first !== undefined && (
							<span className="block text-[0.8125rem] text-faint">
								{lasting((moment(m.at) - first) / 1000)} after the first
							</span>
						)}
					</span>
				</li>
			))}
		</ol>
	);
}
