import { useInfiniteQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Money as Amount } from "../api/client.ts";
import { list } from "../api/query.ts";
import { type Channel, locked, plus, returns } from "../lib/channel.ts";
import { approx } from "../lib/money.ts";
import { count, safe, short } from "../lib/text.ts";
import { ago, useNow } from "../lib/time.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { type Column, DataTable } from "../ui/DataTable.tsx";
import { leaseColumns } from "../ui/leases.tsx";
import { Section, Shell } from "../ui/Shell.tsx";
import { Empty, More, View } from "../ui/State.tsx";
import { Id, Money, Time } from "../ui/Value.tsx";

export function Page() {
	const { addr = "" } = useParams({ strict: false });
	const q = useInfiniteQuery(list("/wallets/{addr}", { path: { addr } }));
	return (
		<Shell
			title={`Wallet ${short(addr)}`}
			kind="Wallet"
			head={<span className="font-mono text-[0.5em] tracking-normal">{safe(addr, 80)}</span>}
			lead="The channels that this address pays, or is paid by, as they stand on the chain."
		>
			<div className="mt-12">
				<View
					of={q}
					lines={8}
					empty={(d) =>
						d.every((p) => p.channels.length === 0) && (
							<Empty
								why="No channel names this address."
								line={`solana balance ${safe(addr, 60)}`}
								note="what it holds outside channels"
							/>
						)
					}
				>
					{(d) => (
						<Parts
							of={d.flatMap((p) => p.channels)}
							addr={addr}
							more={<More of={q} />}
							whole={!q.hasNextPage}
						/>
					)}
				</View>
			</div>
			<Leases addr={addr} />
			<Section
				title="Check it yourself"
				note="Channels are accounts of the escrow program; any client of the ledger reads them."
			>
				<div className="max-w-3xl">
					<CopyCommand line="gpuai channel list" note="if the wallet is your node's" />
				</div>
			</Section>
		</Shell>
	);
}

interface Sum {
	name: string;
	note: string;
	of: Amount;
}

/** What the channels come to, by mint. */
function sums(of: Channel[], addr: string, now: number): Sum[] {
	const out = new Map<string, Sum>();
	const add = (name: string, note: string, m: Amount) => {
		const key = `${name} ${m.mint}`;
		const old = out.get(key);
		out.set(key, { name, note, of: old ? plus(old.of, m) : m });
	};
	for (const c of of) {
		if (c.payer === addr) {
			if (c.status !== "gone") add("locked", "in channels that it pays", locked(c));
			const back = returns(c, now);
			if (c.status !== "gone") add("returns", "at most, as the channels stand", back.amount);
			add("storage", "returns with the accounts", c.storage);
		}
		if (c.payee === addr) {
			add("earned", "settled in its favour, ever", c.settled);
			add("paid out", "of it, has arrived", c.paid);
		}
	}
	return [...out.values()].filter((s) => s.of.amount !== "0" || s.name !== "storage");
}

function Parts({ of, addr, more, whole }: { of: Channel[]; addr: string; more: React.ReactNode; whole: boolean }) {
	const now = useNow();
	const totals = useMemo(() => sums(of, addr, now), [of, addr, now]);
	const columns = useMemo(() => columnsOf(addr, now), [addr, now]);
	return (
		<>
			<dl className="flex flex-wrap gap-x-14 gap-y-8 border-line border-t pt-5">
				{totals.map((s) => (
					<div key={`${s.name} ${s.of.mint}`}>
						<dt className="label">{s.name}</dt>
						<dd>
							<span className="block font-[480] text-3xl tracking-[-0.025em]">
								<Money of={s.of} />
							</span>
							<span className="text-[0.875rem] text-faint">{s.note}</span>
						</dd>
					</div>
				))}
			</dl>
			{!whole && (
				<p className="mt-3 text-[0.9375rem] text-soft">Sums of the first {count(of.length, "channel")} only.</p>
			)}
			<Section title="Channels">
				<DataTable
					caption="channels of this wallet"
					rows={of}
					columns={columns}
					noun={["channel", "channels"]}
					rowKey={(c) => c.channel}
					filter
					file={`channels-${short(addr)}`}
					more={more}
				/>
			</Section>
		</>
	);
}

function columnsOf(addr: string, now: number): Column<Channel>[] {
	const money = (id: string, head: string, f: (c: Channel) => Amount): Column<Channel> => ({
		id,
		head,
		unit: "SOL",
		right: true,
		sort: (c) => approx(f(c)),
		text: (c) => approx(f(c)),
		cell: (c) => <Money of={f(c)} bare />,
	});
	return [
		{
			id: "channel",
			head: "Channel",
			lead: true,
			text: (c) => c.channel,
			cell: (c) => <Id id={c.channel} to="/channels/$addr" params={{ addr: c.channel }} copy={false} />,
		},
		{
			id: "with",
			head: "With",
			text: (c) => (c.payer === addr ? c.payee : c.payer),
			cell: (c) => {
				const other = c.payer === addr ? c.payee : c.payer;
				return (
					<span className="whitespace-nowrap">
						<span className="text-faint">{c.payer === addr ? "pays" : "paid by"}</span>{" "}
						<Id id={other} to="/wallets/$addr" params={{ addr: other }} copy={false} />
					</span>
				);
			},
		},
		{ id: "status", head: "Status", sort: (c) => c.status, text: (c) => c.status, cell: (c) => c.status },
		money("deposit", "Deposit", (c) => c.deposit),
		money("settled", "Settled", (c) => c.settled),
		money("returns", "Returns", (c) => returns(c, now).amount),
		{
			id: "when",
			head: "When",
			wide: true,
			cell: (c) => {
				const back = returns(c, now);
				return <span className="text-soft">{back.at === undefined ? brief[c.status] : ago(back.at, now)}</span>;
			},
		},
		{
			id: "moved",
			head: "Moved",
			right: true,
			sort: (c) => c.moved_at && Date.parse(c.moved_at),
			text: (c) => c.moved_at,
			cell: (c) => <Time at={c.moved_at} />,
		},
	];
}

const brief: Record<Channel["status"], string> = {
	open: "once it is closed",
	closing: "now",
	sealed: "now",
	gone: "came back",
};

function Leases({ addr }: { addr: string }) {
	const q = useInfiniteQuery(list("/leases", { query: { wallet: addr } }));
	const columns = useMemo(() => leaseColumns(), []);
	if (!q.data || q.data.every((d) => d.leases.length === 0)) return null;
	return (
		<Section title="Leases" note="That it paid, or was paid for.">
			<DataTable
				caption="leases of this wallet, newest first"
				name="leases"
				rows={q.data.flatMap((d) => d.leases)}
				columns={columns}
				noun={["lease", "leases"]}
				rowKey={(l) => `${l.lease} ${l.provider}`}
				file={`leases-${short(addr)}`}
				more={<More of={q} />}
			/>
		</Section>
	);
}
