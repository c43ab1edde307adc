import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Schemas } from "../api/client.ts";
import { get, list } from "../api/query.ts";
import { locked, minus, type Return, returns } from "../lib/channel.ts";
import { approx } from "../lib/money.ts";
import { percent, safe, short } from "../lib/text.ts";
import { ago, lasting, useNow, utc } from "../lib/time.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { instructionColumns, instructionKey } from "../ui/chain.tsx";
import { DataTable } from "../ui/DataTable.tsx";
import { leaseColumns } from "../ui/leases.tsx";
import { Facts, Section, Shell } from "../ui/Shell.tsx";
import { Empty, More, Partial, View } from "../ui/State.tsx";
import { Id, Money, moneyText, Time } from "../ui/Value.tsx";

type Channel = Schemas["ChannelPage"];

export function Page() {
	const { addr = "" } = useParams({ strict: false });
	const q = useQuery(get("/channels/{addr}", { path: { addr } }));
	return (
		<Shell
			title={`Channel ${short(addr)}`}
			kind="Channel"
			head={<span className="font-mono text-[0.5em] tracking-normal">{safe(addr, 80)}</span>}
			lead={q.data && <Lead of={q.data} />}
		>
			<div className="mt-12">
				<View of={q} lines={8}>
					{(d) => <Parts of={d} addr={addr} />}
				</View>
			</div>
		</Shell>
	);
}

const status: Record<Channel["status"], string> = {
	open: "It is open: the provider may settle vouchers up to the deposit.",
	closing: "It is closing: after the delay nothing more can be settled.",
	sealed: "It is sealed: what is whose stands.",
	gone: "It is gone: both were paid and the account is removed.",
};

/** The channel in two sentences, its numbers in words. */
function Lead({ of: c }: { of: Channel }) {
	if (c.status === "gone") {
		return (
			<>
				{status.gone} Of {moneyText(c.deposit)} the provider got {moneyText(c.paid)} and the customer{" "}
				{moneyText(c.refunded)} back.
			</>
		);
	}
	return (
		<>
			{status[c.status]} Of {moneyText(c.deposit)} deposited, {moneyText(c.settled)} is the provider's.
		</>
	);
}

function Parts({ of: c, addr }: { of: Channel; addr: string }) {
	const now = useNow();
	const back = returns(c, now);
	return (
		<>
			<Partial missing={c.instructions.length === 0 ? ["the chain's transactions"] : []} />
			<Split of={c} />
			<div className="mt-12 grid gap-x-16 gap-y-10 lg:grid-cols-2">
				<div>
					<h2 className="label">Returns to the customer</h2>
					<p className="mt-1 font-[480] text-4xl tracking-[-0.025em] md:text-5xl">
						{back.may === "at most" && <span className="text-faint text-[0.5em]">at most </span>}
						<Money of={back.amount} big />
					</p>
					<p className="mt-3 max-w-[52ch] text-soft">
						<When of={back} now={now} delay={c.close_delay_s} />
					</p>
					<p className="mt-3 font-mono text-[0.8125rem] text-faint">
						{back.formula} ={" "}
						{back.formula === "refunded"
							? moneyText(c.refunded)
							: `${moneyText(c.deposit)} − ${moneyText(c.settled)} − ${moneyText(c.refunded)}`}
					</p>
					{c.status !== "gone" && (
						<p className="mt-8 max-w-[52ch] text-[0.9375rem] text-soft">
							The storage deposit is what the ledger holds for the account itself. It returns to the
							customer once both are paid, from 3,000 slots (10 to 20 minutes) after the channel was
							opened.
						</p>
					)}
				</div>
				<Facts
					of={[
						["from", <Id key="f" id={c.payer} to="/wallets/$addr" params={{ addr: c.payer }} />],
						["to", <Id key="t" id={c.payee} to="/wallets/$addr" params={{ addr: c.payee }} />],
						["storage deposit", <Money key="s" of={c.storage} />],
						["close delay", lasting(c.close_delay_s)],
						["opened", <Time key="o" at={c.opened_at} />],
						["moved last", <Time key="m" at={c.moved_at} />],
						["read at slot", c.as_of.slot],
					]}
				/>
			</div>
			<Section title="Instructions" note="What came to it on the chain, oldest first, at finality.">
				<Instructions addr={addr} />
			</Section>
			<Leases addr={addr} />
			<Section title="Check it yourself" note="The account on the chain is the truth; this page only read it.">
				<div className="grid max-w-3xl gap-4">
					<CopyCommand line={`gpuai channel show ${addr}`} note="if it is yours, your own node knows it" />
					<CopyCommand line={`solana account ${addr}`} note="or any client of the ledger" />
				</div>
			</Section>
		</>
	);
}

/** When it returns, in words. */
function When({ of, now, delay }: { of: Return; now: number; delay: number }) {
	if (of.at !== undefined) {
		return (
			<>
				{ago(of.at, now)}, at {utc(of.at)}: {of.when}. Until then the provider may still hand in vouchers.
			</>
		);
	}
	const text = of.when.replace("the close delay", `the close delay of ${lasting(delay)}`);
	return (
		<>
			{text.charAt(0).toUpperCase() + text.slice(1)}.
			{of.may === "at most" && " Vouchers that the provider holds make it less."}
		</>
	);
}

/** How a deposit is shared, to scale. */
function Split({ of: c }: { of: Channel }) {
	const deposit = approx(c.deposit);
	const waits = minus(c.settled, c.paid);
	const rest = locked(c);
	const parts = [
		{ name: "paid to the provider", of: c.paid, fill: "fill-accent", dot: "bg-accent" },
		{ name: "settled, not paid yet", of: waits, fill: "fill-accent/45", dot: "bg-accent/45" },
		{ name: "returned to the customer", of: c.refunded, fill: "fill-soft", dot: "bg-soft" },
		{ name: "not settled", of: minus(rest, waits), fill: "fill-line", dot: "bg-line" },
	].filter((p) => p.of.amount !== "0");
	let at = 0;
	return (
		<figure>
			<svg
				viewBox="0 0 1000 28"
				preserveAspectRatio="none"
				className="h-7 w-full"
				role="img"
				aria-label={`Of ${moneyText(c.deposit)}: ${parts.map((p) => `${moneyText(p.of)} ${p.name}`).join(", ")}`}
			>
				{parts.map((p) => {
					const width = deposit > 0 ? (1000 * approx(p.of)) / deposit : 0;
					const x = at;
					at += width;
					return <rect key={p.name} x={x} width={Math.max(0, width - 2)} height={28} className={p.fill} />;
				})}
			</svg>
			<figcaption>
				<ul className="mt-3 flex flex-wrap gap-x-8 gap-y-2 text-[0.9375rem]">
					{parts.map((p) => (
						<li key={p.name} className="flex items-baseline gap-2">
							<span className={`size-2.5 ${p.dot}`} aria-hidden="true" />
							<span className="text-soft">{p.name}</span>
							<Money of={p.of} />
							<span className="whitespace-nowrap text-faint">{percent(approx(p.of), deposit)}</span>
						</li>
					))}
				</ul>
			</figcaption>
		</figure>
	);
}

function Instructions({ addr }: { addr: string }) {
	const q = useInfiniteQuery(list("/channels/{addr}", { path: { addr } }));
	return (
		<View
			of={q}
			empty={(d) =>
				d.every((p) => p.instructions.length === 0) && (
					<Empty why="This index has read no instruction of it." line={`gpuai channel show ${addr}`} />
				)
			}
		>
			{(d) => (
				<DataTable
					caption="instructions of this channel, oldest first"
					name="tx"
					rows={d.flatMap((p) => p.instructions)}
					columns={instructionColumns}
					noun={["instruction", "instructions"]}
					rowKey={instructionKey}
					file={`channel-${short(addr)}`}
					more={<More of={q} />}
				/>
			)}
		</View>
	);
}

function Leases({ addr }: { addr: string }) {
	const q = useInfiniteQuery(list("/leases", { query: { channel: addr } }));
	const columns = useMemo(() => leaseColumns(["provider"]), []);
	if (!q.data || q.data.every((d) => d.leases.length === 0)) return null;
	return (
		<Section title="Leases that it pays">
			<DataTable
				caption="leases of this channel"
				name="leases"
				rows={q.data.flatMap((d) => d.leases)}
				columns={columns}
				noun={["lease", "leases"]}
				rowKey={(l) => l.lease}
				more={<More of={q} />}
			/>
		</Section>
	);
}
