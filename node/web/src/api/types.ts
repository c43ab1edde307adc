import type { Schemas } from "./client.ts";

export type Asks = Schemas["Asks"];
export type Bid = Schemas["Bid"];
export type ClearedPoint = Schemas["ClearedPoint"];
export type Depth = Schemas["Depth"];
export type Lease = Schemas["Lease"];
export type Level = Schemas["Level"];
export type Model = Schemas["Model"];
export type Offer = Schemas["Offer"];
export type Point = Schemas["Point"];
export type Summary = Schemas["Summary"];

/** The price band that is asked in SOL, the first of the list. */
export function asksOf(m: { asks: Asks[] }): Asks | undefined {
	return m.asks[0];
}
