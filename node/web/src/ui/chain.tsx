import type { Schemas } from "../api/client.ts";
import { safe } from "../lib/text.ts";
import type { Column } from "./DataTable.tsx";
import { Dash } from "./Figure.tsx";
import { Id, Money, Time } from "./Value.tsx";

type Instruction = Schemas["Instruction"];

const does: Record<string, string> = {
	open: "the payer opens the channel",
	top_up: "the payer adds to the deposit",
	claim: "a voucher is settled and the payee paid",
	record: "a voucher is settled",
	request_close: "the payer asks to close; the delay begins",
	release: "the payee consents to what is settled",
	consent: "the payee consents to what is settled",
	seal: "the delay is over: no voucher counts any more",
	pay_payee: "the payee gets what is settled",
	pay_payer: "the payer gets the rest",
	reclaim: "the account is removed, its storage deposit returned",
};

/** What an instruction does, in words. */
export function meaning(name: string | undefined): string | undefined {
	return name === undefined ? undefined : does[name];
}

/** The columns of a list of instructions. */
export const instructionColumns: Column<Instruction>[] = [
	{
		id: "name",
		head: "Instruction",
		lead: true,
		sort: (i) => i.name,
		text: (i) => i.name,
		cell: (i) => (
			<span>
				<span className="font-mono text-[0.875em]">{i.name ? safe(i.name, 40) : "not read"}</span>
				{i.result !== "ok" && <span className="text-bad"> {i.result}</span>}
				<span className="block text-[0.8125rem] text-faint">{meaning(i.name)}</span>
			</span>
		),
	},
	{
		id: "amount",
		head: "Deposit, settled",
		unit: "SOL",
		right: true,
		line: true,
		cell: (i) => <Moved of={i} />,
	},
	{ id: "tx", head: "Transaction", line: true, text: (i) => i.signature, cell: (i) => <Id id={i.signature} /> },
	{ id: "slot", head: "Slot", right: true, sort: (i) => i.slot, text: (i) => i.slot, cell: (i) => i.slot },
	{
		id: "at",
		head: "When",
		right: true,
		sort: (i) => Date.parse(i.at),
		text: (i) => i.at,
		cell: (i) => <Time at={i.at} />,
	},
];

/** What an instruction says of money: the deposit after it, or all that is settled with it. */
function Moved({ of: i }: { of: Instruction }) {
	if (i.deposit) return <Money of={i.deposit} bare />;
	if (i.settled) return <Money of={i.settled} bare />;
	return <Dash what="amount" />;
}

/** A list of instructions has no ids of its own: their place in a transaction is one. */
export function instructionKey(i: Instruction): string {
	return `${i.signature} ${i.outer} ${i.inner}`;
}
