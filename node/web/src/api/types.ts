import type { Count, Money, Origin, Schemas } from "./client.ts";

export type Asks = Schemas["Asks"];
export type Offer = Schemas["Offer"];
export type Level = Schemas["Level"];

/** A lease as both sides signed its end. */
export interface Lease extends Origin {
	lease: string;
	slug: string;
	devices: number;
	rate: Money;
	provider: string;
	customer: string;
	channel: string;
	started_at?: string;
	ended_at: string;
	billable_s: number;
	amount: Money;
	code: string;
	fault: string;
	settled?: boolean;
}

// What newer indexers say beside; absent from an older one.

export type Model = Schemas["Model"] & { wanted?: Count; cleared?: Origin & { value: Money }; utilisation?: Count };
export type Summary = Omit<Schemas["Summary"], "models"> & {
	models: Model[];
	jobs_24h?: Count;
	paid_24h?: (Origin & { value: Money })[];
	leases?: Lease[];
};
export type Point = Schemas["Point"] & { leased?: number; wanted?: number };

/** The price band that is asked in SOL, the first of the list. */
export function asksOf(m: { asks: Asks[] }): Asks | undefined {
	return m.asks[0];
}
