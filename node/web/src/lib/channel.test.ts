import assert from "node:assert/strict";
import { test } from "node:test";
import type { Money } from "../api/client.ts";
import { type Channel, locked, minus, plus, returns } from "./channel.ts";

const sol = (amount: string): Money => ({ amount, mint: "So1", decimals: 9, symbol: "SOL" });
const now = Date.parse("2026-11-30T12:00:00Z");

function channel(change: Partial<Channel>): Channel {
	return {
		channel: "c",
		status: "open",
		payer: "a",
		payee: "b",
		deposit: sol("18446744073709551615"),
		settled: sol("5"),
		paid: sol("2"),
		refunded: sol("0"),
		storage: sol("1"),
		close_delay_s: 3600,
		src: "chain",
		as_of: { slot: 1 },
		n: 1,
		...change,
	};
}

test("amounts are exact beyond what a number of JavaScript holds", () => {
	assert.equal(minus(sol("18446744073709551615"), sol("1")).amount, "18446744073709551614");
	assert.equal(plus(sol("9007199254740993"), sol("1")).amount, "9007199254740994");
	assert.equal(locked(channel({})).amount, "18446744073709551613");
});

test("what returns, and when, by the channel's status", () => {
	const open = returns(channel({}), now);
	assert.deepEqual([open.amount.amount, open.may, open.at], ["18446744073709551610", "at most", undefined]);
	const closing = returns(channel({ status: "closing", deadline: "2026-11-30T12:40:00Z" }), now);
	assert.deepEqual([closing.may, closing.at], ["at most", now + 2_400_000]);
	const late = returns(channel({ status: "closing", deadline: "2026-11-30T11:00:00Z" }), now);
	assert.match(late.when, /anybody may seal/);
	const sealed = returns(channel({ status: "sealed", deposit: sol("10"), refunded: sol("5") }), now);
	assert.deepEqual([sealed.amount.amount, sealed.may], ["0", "exactly"]);
	assert.match(sealed.when, /nothing is left of the deposit/);
	const done = returns(channel({ status: "sealed", deposit: sol("10"), paid: sol("5"), refunded: sol("5") }), now);
	assert.match(done.when, /both have what is theirs/);
	const due = returns(channel({ status: "sealed", deposit: sol("10"), refunded: sol("0") }), now);
	assert.deepEqual([due.amount.amount, /anybody may send/.test(due.when)], ["5", true]);
	const gone = returns(channel({ status: "gone", deposit: sol("10"), refunded: sol("5") }), now);
	assert.deepEqual([gone.amount.amount, gone.may, gone.formula], ["5", "exactly", "refunded"]);
});
