import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "../api/events.ts";
import { csv } from "./csv.ts";
import { amount, units } from "./money.ts";
import { parseSearch, writeSearch } from "./search.ts";
import { safe, shell, short } from "./text.ts";
import { ago, lasting } from "./time.ts";

test("text of peers turns nothing around, hides nothing, breaks no line", () => {
	for (const c of [
		"\u202e",
		"\u2066",
		"\u200b",
		"\u200f",
		"\u0000",
		"\u001b[31m",
		"\n",
		"\u2028",
		"\ufeff",
		"\u3164",
	]) {
		assert.ok(safe(`a${c}b`).startsWith("a\u25af"), JSON.stringify(c));
	}
	assert.equal(safe("x".repeat(300)).length, 201);
	assert.equal(safe("<img src=x onerror=alert(1)>"), "<img src=x onerror=alert(1)>");
	assert.equal(short("12D3KooWNVcnyi3tAfKwAhD5ejJ"), "12D3Ko…5ejJ");
	assert.equal(shell("rtx-4090"), "rtx-4090");
	assert.equal(shell("a'; rm -rf /\n"), "'a'\\''; rm -rf /'");
});

test("amounts are exact", () => {
	const sol = (a: string) => amount({ amount: a, decimals: 9 });
	assert.equal(sol("2400000"), "0.0024");
	assert.equal(sol("0"), "0");
	assert.equal(sol("1"), "0.000000001");
	assert.equal(sol("1234567000000000"), "1,234,567");
	assert.equal(sol("18446744073709551615"), "18,446,744,073.709551615");
	assert.equal(sol("-5000000000"), "−5");
	assert.equal(sol("1e9"), "—");
	assert.equal(amount({ amount: "12", decimals: 0 }), "12");
	assert.equal(units("0.0024", 9), "2400000");
	assert.equal(units(".5", 9), "500000000");
	assert.equal(units("0.0000000001", 9), null);
	assert.equal(units("1,5", 9), null);
});

test("CSV is no formula", () => {
	assert.equal(
		csv(["a"], [["=1+1"], ['x,"y"'], [-2], [undefined], ["-2.5"]]),
		'a\r\n\'=1+1\r\n"x,""y"""\r\n-2\r\n\r\n-2.5\r\n',
	);
});

test("addresses hold plain words", () => {
	assert.equal(
		writeSearch({ slug: "rtx-4090", sort: "-rate", none: undefined, empty: "" }),
		"?slug=rtx-4090&sort=-rate",
	);
	assert.deepEqual(parseSearch("?slug=662E41&n=1"), { slug: "662E41", n: "1" });
});

test("times", () => {
	assert.equal(lasting(12_000), "3 h 20 min");
	assert.equal(lasting(0), "0 s");
	assert.equal(ago(0, 90_000), "1 min ago");
	assert.equal(ago(7200_000, 0), "in 2 h");
});

test("a stream is read in whatever pieces it comes", () => {
	const text = ': ready\n\nid: e1-5\nevent: offer\ndata: {"a":1}\n\nevent: lagged\ndata: {}\n\n';
	for (let cut = 0; cut <= text.length; cut++) {
		const first = parse(text.slice(0, cut));
		const second = parse(first.rest + text.slice(cut));
		const all = [...first.events, ...second.events];
		assert.deepEqual(
			all.map((e) => [e.id, e.event, e.data]),
			[
				["e1-5", "offer", '{"a":1}'],
				["", "lagged", "{}"],
			],
		);
		assert.equal(second.rest, "");
	}
});
