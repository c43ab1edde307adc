// A small use of the types that are generated from the document; it is only compiled.
import type { components, operations, paths } from "./node.d.ts";

type Order = components["schemas"]["Order"];
type Problem = components["schemas"]["Problem"];
type List = paths["/orders"]["get"]["responses"]["200"]["content"]["application/json"];
type Place = operations["createOrder"];

export const key: Place["parameters"]["header"] = { "Idempotency-Key": "k" };
export const body: Place["requestBody"]["content"]["application/json"] = {
  job: { image: "python:3.12-slim", args: ["python", "-V"], limits: { max_total: "0.02" } },
};

export function unpaid(list: List): Order[] {
  return list.orders.filter((o) => BigInt(o.owed.amount) > BigInt(o.paid.amount));
}

export function say(p: Problem): string {
  return `error[${p.code}]: ${p.title}` + p.fix.map((f) => `\n  fix: ${f.command ?? f.text ?? ""}`).join("");
}

// @ts-expect-error an amount is text: a u64 does not fit a number
export const wrong: Order["paid"]["amount"] = 5;
