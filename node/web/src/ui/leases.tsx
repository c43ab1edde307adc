import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client.ts";
import { approx } from "../lib/money.ts";
import { safe } from "../lib/text.ts";
import { lasting } from "../lib/time.ts";
import type { Column } from "./DataTable.tsx";
import { Dash } from "./Figure.tsx";
import { Id, Money, Time } from "./Value.tsx";

type Lease = Schemas["Lease"];

/** Whether the chain covers a lease's money, in words. */
export function Settled({ of }: { of: boolean | undefined }) {
	if (of === undefined) return <Dash what="settled" />;
	return of ? <span className="text-accent">settled</span> : <span className="text-soft">not yet</span>;
}

/** How a lease ended: its code, and whose fault it was if somebody's. */
export function End({ code, fault }: { code: string; fault: string }) {
	return (
		<span className="md:whitespace-nowrap">
			<span className="font-mono text-[0.8125em]">{safe(code, 40)}</span>
			{fault !== "none" && <span className="text-warn"> {safe(fault, 20)}</span>}
		</span>
	);
}

/** The columns of a list of leases; without is what the page itself says already. */
export function leaseColumns(without: string[] = []): Column<Lease>[] {
	const all: Column<Lease>[] = [
		{
			id: "lease",
			head: "Lease",
			lead: true,
			text: (l) => l.lease,
			cell: (l) => <Id id={l.lease} to="/leases/$id" params={{ id: l.lease }} copy={false} />,
		},
		{
			id: "model",
			head: "Model",
			sort: (l) => l.slug,
			text: (l) => l.slug,
			cell: (l) => (
				<Link to="/gpus/$slug" params={{ slug: l.slug }} className="hover:underline">
					{l.devices > 1 && <span className="text-faint">{l.devices} × </span>}
					{safe(l.slug, 40)}
				</Link>
			),
		},
		{
			id: "provider",
			head: "Provider",
			text: (l) => l.provider,
			cell: (l) => <Id id={l.provider} to="/providers/$peer" params={{ peer: l.provider }} copy={false} />,
		},
		{
			id: "ran",
			head: "Ran",
			right: true,
			sort: (l) => l.billable_s,
			text: (l) => l.billable_s,
			cell: (l) => lasting(l.billable_s),
		},
		{
			id: "amount",
			head: "Paid",
			unit: "SOL",
			right: true,
			sort: (l) => approx(l.amount),
			text: (l) => approx(l.amount),
			cell: (l) => <Money of={l.amount} bare />,
		},
		{
			id: "code",
			head: "End",
			sort: (l) => l.code,
			text: (l) => `${l.code} ${l.fault}`,
			cell: (l) => <End code={l.code} fault={l.fault} />,
		},
		{
			id: "settled",
			head: "On the chain",
			wide: true,
			text: (l) => (l.settled === undefined ? undefined : String(l.settled)),
			cell: (l) => <Settled of={l.settled} />,
		},
		{
			id: "ended",
			head: "Ended",
			right: true,
			sort: (l) => Date.parse(l.ended_at),
			text: (l) => l.ended_at,
			cell: (l) => <Time at={l.ended_at} />,
		},
	];
	return all.filter((c) => !without.includes(c.id));
}
