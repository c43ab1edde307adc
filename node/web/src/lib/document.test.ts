import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
	decodeChannel,
	decodeOpen,
	decodeTopUp,
	encodeChannel,
	encodeOpen,
	encodeTopUp,
	Malformed,
} from "../gen/escrow.ts";
import {
	base58,
	hex,
	keyOfPeer,
	parseEnvelope,
	peerOfKey,
	readOffer,
	readOutcome,
	unbase58,
	verify,
} from "./document.ts";

const golden = JSON.parse(readFileSync(new URL("../../test/golden.json", import.meta.url), "utf8"));
const bytes = (h: string) => Uint8Array.from(Buffer.from(h, "hex"));

/** A decoded thing as the golden file writes it. */
function said(v: object): Record<string, string> {
	return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, x instanceof Uint8Array ? hex(x) : String(x)]));
}

test("what Go signed is verified, for its network, its signer and its kind only", async () => {
	const offer = bytes(golden.offer);
	assert.equal((await verify(offer, "offer", golden.peer, golden.network)).state, "verified");
	assert.equal((await verify(bytes(golden.outcome), "outcome", golden.peer, golden.network)).state, "verified");
	const other = peerOfKey(new Uint8Array(32).fill(9));
	for (const [raw, kind, peer, network, why] of [
		[offer, "offer", golden.peer, "devnet", /does not fit the text and the network devnet/],
		[offer, "offer", other, golden.network, /is signed by 12D3Koo.*, not by/],
		[offer, "outcome", golden.peer, golden.network, /signed as offer, not as outcome/],
		[offer.subarray(0, 90), "offer", golden.peer, golden.network, /no signed document/],
		[offer, "offer", "nobody", golden.network, /not by nobody/],
	] as const) {
		const v = await verify(raw, kind, peer, network);
		assert.equal(v.state, "refused");
		assert.match(v.state === "refused" ? v.why : "", why);
	}
	for (let i = 38; i < offer.length; i += 7) {
		const bent = Uint8Array.from(offer);
		bent[i] = (bent[i] as number) ^ 1;
		assert.equal((await verify(bent, "offer", golden.peer, golden.network)).state, "refused", `byte ${i}`);
	}
});

test("a key of small order is refused: one signature of it fits any text", async () => {
	const raw = bytes(golden.offer);
	const key = new Uint8Array(32);
	key[0] = 1;
	raw.set(key, 6);
	const v = await verify(raw, "offer", peerOfKey(key), golden.network);
	assert.equal(v.state === "refused" && v.why, "one signature of this key fits any text");
});

test("documents say in the browser what they say in Go", () => {
	const says = golden.says;
	const offer = readOffer(parseEnvelope(bytes(golden.offer))?.body as Uint8Array);
	assert.deepEqual(
		[String(offer?.seq), offer?.payout, offer?.version, offer?.groups],
		[
			says.seq,
			says.payout,
			"0.1.0",
			[{ class: says.class, name: says.name, devices: says.devices, free: says.free }],
		],
	);
	const o = readOutcome(parseEnvelope(bytes(golden.outcome))?.body as Uint8Array);
	assert.deepEqual(
		[o?.lease, o?.code, o?.ended, String(o?.amount), o?.outputs],
		[says.lease, says.code, says.ended, says.amount, says.outputs],
	);
	for (const raw of ["", "ff", "0a", "0aff01", "08ffffffffffffffffffff7f", "0b", "0d00000000"]) {
		const b = bytes(raw);
		if (raw) assert.equal(readOffer(b), null, raw);
		assert.equal(readOutcome(b), null, raw);
	}
});

test("ids are read and written as Go does", () => {
	assert.equal(peerOfKey(keyOfPeer(golden.peer) as Uint8Array), golden.peer);
	assert.equal(base58(unbase58(golden.says.payout) as Uint8Array), golden.says.payout);
	assert.equal(base58(Uint8Array.from([0, 0, 1])), "112");
	assert.deepEqual([...(unbase58("112") as Uint8Array)], [0, 0, 1]);
	for (const bad of ["0", "O", "l", "<", "1".repeat(129)]) assert.equal(unbase58(bad), null, bad);
});

test("the escrow codec of the app reads and writes the bytes that Go does", () => {
	for (const a of golden.accounts) {
		const got = decodeChannel(bytes(a.bytes));
		assert.deepEqual(said(got), a.say);
		assert.equal(hex(encodeChannel(got)), a.bytes);
	}
	const open = decodeOpen(bytes(golden.open.bytes));
	assert.deepEqual(said(open), golden.open.say);
	assert.equal(hex(encodeOpen(open)), golden.open.bytes);
	const top = decodeTopUp(bytes(golden.top_up.bytes));
	assert.deepEqual(said(top), golden.top_up.say);
	assert.equal(hex(encodeTopUp(top)), golden.top_up.bytes);
	for (const cut of [0, 1, 383])
		assert.throws(() => decodeChannel(bytes(golden.accounts[0].bytes).subarray(0, cut)), Malformed);
});
