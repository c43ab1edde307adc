import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { Schemas } from "../api/client.ts";
import { list } from "../api/query.ts";
import { type Column, DataTable } from "../ui/DataTable.tsx";
import { Dash } from "../ui/Figure.tsx";
import { Shell } from "../ui/Shell.tsx";
import { Empty, More, View } from "../ui/State.tsx";
import { Id, Peer, Time } from "../ui/Value.tsx";

type Provider = Schemas["Provider"];

export function Page() {
	const q = useInfiniteQuery(list("/providers"));
	return (
		<Shell
			title="Providers"
			lead="Every rig that this indexer has heard of: who signs, what it has, and whether it answers when it is called."
		>
			<div className="mt-12">
				<View
					of={q}
					lines={8}
					empty={(d) =>
						d.every((p) => p.providers.length === 0) && (
							<Empty
								why="No provider has been heard of yet."
								line="gpuai provider setup"
								note="be the first"
							/>
						)
					}
				>
					{(d) => <Rows of={d.flatMap((p) => p.providers)} more={<More of={q} />} />}
				</View>
			</div>
		</Shell>
	);
}

function Rows({ of, more }: { of: Provider[]; more: React.ReactNode }) {
	const columns = useMemo<Column<Provider>[]>(
		() => [
			{
				id: "peer",
				head: "Provider",
				lead: true,
				text: (p) => p.peer,
				cell: (p) => <Id id={p.peer} to="/providers/$peer" params={{ peer: p.peer }} copy={false} />,
			},
			{
				id: "live",
				head: "Offer",
				sort: (p) => (p.live ? 0 : 1),
				text: (p) => (p.live ? "live" : "over"),
				cell: (p) => (p.live ? "live" : <span className="text-faint">over</span>),
			},
			{
				id: "free",
				head: "Free",
				right: true,
				sort: (p) => p.free,
				text: (p) => p.free,
				cell: (p) => (
					<>
						{p.free} <span className="text-faint">of {p.devices}</span>
					</>
				),
			},
			{
				id: "rtt",
				head: "Round trip",
				unit: "ms",
				right: true,
				sort: (p) => p.probe.rtt_us,
				text: (p) => p.probe.rtt_us && p.probe.rtt_us / 1000,
				cell: (p) =>
					p.probe.rtt_us ? (
						<span>{Math.max(1, Math.round(p.probe.rtt_us / 1000))}</span>
					) : (
						<Dash what="round trip" />
					),
			},
			{
				id: "reached",
				head: "Answered",
				right: true,
				sort: (p) => p.probe.reached_at && Date.parse(p.probe.reached_at),
				text: (p) => p.probe.reached_at,
				cell: (p) => <Time at={p.probe.reached_at} />,
			},
			{
				id: "version",
				head: "Version",
				sort: (p) => p.version,
				text: (p) => p.version,
				cell: (p) => <Peer text={p.version} most={24} />,
			},
			{
				id: "payout",
				head: "Paid to",
				wide: true,
				text: (p) => p.payout,
				cell: (p) =>
					p.payout ? (
						<Id id={p.payout} to="/wallets/$addr" params={{ addr: p.payout }} copy={false} />
					) : (
						<Dash what="payout" />
					),
			},
		],
		[],
	);
	return (
		<DataTable
			caption="providers"
			rows={of}
			columns={columns}
			noun={["provider", "providers"]}
			rowKey={(p) => p.peer}
			sort="live"
			filter
			file="providers"
			more={more}
		/>
	);
}
