import type { Money } from "../api/client.ts";

/** An amount in whole units, exact: its digits before and behind the point, without zeros at the end. */
export function digits(m: Pick<Money, "amount" | "decimals">): { sign: string; whole: string; part: string } | null {
	if (!/^-?\d{1,40}$/.test(m.amount)) return null;
	const sign = m.amount.startsWith("-") ? "−" : "";
	const all = m.amount.replace("-", "").padStart(m.decimals + 1, "0");
	const at = all.length - m.decimals;
	return {
		sign,
		whole: all
			.slice(0, at)
			.replace(/^0+(?=\d)/, "")
			.replace(/\B(?=(\d{3})+$)/g, ","),
		part: all.slice(at).replace(/0+$/, ""),
	};
}

/** An amount as text, without its symbol; "—" where it is none. */
export function amount(m: Pick<Money, "amount" | "decimals">): string {
	const d = digits(m);
	return d ? `${d.sign}${d.whole}${d.part ? `.${d.part}` : ""}` : "—";
}

/** The symbol of an amount's mint, with "/h" behind a rate. A mint without a symbol shows its first letters. */
export function unit(m: Money): string {
	const symbol = m.symbol || `${m.mint.slice(0, 4)}…`;
	return m.per === "hour" ? `${symbol}/h` : symbol;
}

/** An amount as a number, for plots and sorting only. */
export function approx(m: Pick<Money, "amount" | "decimals">): number {
	return Number(m.amount) / 10 ** m.decimals;
}

/** The smallest units of an amount that a person typed, "0.0025"; null: it is no such amount. */
export function units(text: string, decimals: number): string | null {
	const m = /^(\d{0,20})(?:\.(\d*))?$/.exec(text.trim());
	if (!m || (m[1] === "" && !m[2])) return null;
	const part = m[2] ?? "";
	if (part.length > decimals) return null;
	return (m[1] + part.padEnd(decimals, "0")).replace(/^0+(?=\d)/, "");
}
