import type { Money, Schemas } from "../api/client.ts";

export type Channel = Schemas["Channel"];

/** a − b in the unit of a; both are of one mint. */
export function minus(a: Money, ...b: Money[]): Money {
	const rest = b.reduce((left, m) => left - BigInt(m.amount), BigInt(a.amount));
	return { ...a, amount: rest.toString() };
}

/** The sum of amounts of one mint. */
export function plus(first: Money, ...more: Money[]): Money {
	return { ...first, amount: more.reduce((n, m) => n + BigInt(m.amount), BigInt(first.amount)).toString() };
}

/** What lies in a channel now: deposit − paid − refunded. */
export function locked(c: Channel): Money {
	return minus(c.deposit, c.paid, c.refunded);
}

/** What goes back to the payer, as the chain stands. */
export interface Return {
	/** deposit − settled − refunded; of a channel that is gone: what came back. */
	amount: Money;
	/** Vouchers that the payee holds may still make it less. */
	may: "exactly" | "at most";
	formula: string;
	/** When, in words; at: the moment, where there is one (unix ms). */
	when: string;
	at?: number;
}

/** What returns to the payer of a channel, when, and by which formula. now is unix ms. */
export function returns(c: Channel, now: number): Return {
	const amount = minus(c.deposit, c.settled, c.refunded);
	const formula = "deposit − settled − refunded";
	const deadline = c.deadline ? Date.parse(c.deadline) : undefined;
	switch (c.status) {
		case "open":
			return {
				amount,
				may: "at most",
				formula,
				when: "at once with the provider's consent, else after the close delay",
			};
		case "closing":
			if (deadline !== undefined && deadline > now) {
				return { amount, may: "at most", formula, when: "when the close delay is over", at: deadline };
			}
			return { amount, may: "at most", formula, when: "now: anybody may seal the channel" };
		case "sealed":
			if (amount.amount === "0") {
				const paid = c.settled.amount === c.paid.amount;
				return {
					amount,
					may: "exactly",
					formula,
					when: paid
						? "nothing is left: both have what is theirs"
						: "nothing is left of the deposit to return",
				};
			}
			return { amount, may: "exactly", formula, when: "now: anybody may send the payment" };
		case "gone":
			return { amount: c.refunded, may: "exactly", formula: "refunded", when: "it came back" };
	}
}
