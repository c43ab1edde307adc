// Signed documents, read and verified in the browser: nothing of it is asked of the indexer that served them.

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** Base58 of Bitcoin's alphabet, as peers and wallets are written; null: it is none. */
export function unbase58(text: string): Uint8Array<ArrayBuffer> | null {
	if (text.length > 128) return null;
	let v = 0n;
	for (const c of text) {
		const i = alphabet.indexOf(c);
		if (i < 0) return null;
		v = v * 58n + BigInt(i);
	}
	const out: number[] = [];
	for (; v > 0n; v >>= 8n) out.unshift(Number(v & 255n));
	for (let i = 0; text[i] === "1"; i++) out.unshift(0);
	return Uint8Array.from(out);
}

/** Bytes as base58. */
export function base58(bytes: Uint8Array): string {
	let v = 0n;
	for (const b of bytes) v = (v << 8n) | BigInt(b);
	let out = "";
	for (; v > 0n; v /= 58n) out = alphabet[Number(v % 58n)] + out;
	for (let i = 0; bytes[i] === 0; i++) out = `1${out}`;
	return out;
}

/** Bytes as lower-case hex. */
export function hex(bytes: Uint8Array): string {
	return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Bytes of standard base64; null: it is none. */
export function unbase64(text: string): Uint8Array<ArrayBuffer> | null {
	try {
		return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
	} catch {
		return null;
	}
}

/** What stands before the key in a peer id: libp2p's identity hash of an Ed25519 key. */
const peerPrefix = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/** The Ed25519 key that a peer id is made of; null: it is no such id. */
export function keyOfPeer(peer: string): Uint8Array<ArrayBuffer> | null {
	const b = unbase58(peer);
	return b && b.length === 38 && peerPrefix.every((x, i) => b[i] === x) ? b.slice(6) : null;
}

/** The peer id of a key. */
export function peerOfKey(key: Uint8Array): string {
	return base58(Uint8Array.from([...peerPrefix, ...key]));
}

/** Kinds of documents by their number in an envelope. */
const kinds = [
	"",
	"offer",
	"want",
	"order",
	"quote",
	"lease",
	"decision",
	"receipt",
	"stop",
	"outcome",
	"params",
	"amend",
] as const;
export type Kind = Exclude<(typeof kinds)[number], "">;

/** A document as it was signed. */
export interface Envelope {
	kind: Kind;
	signer: Uint8Array<ArrayBuffer>;
	signature: Uint8Array<ArrayBuffer>;
	body: Uint8Array<ArrayBuffer>;
}

const header = 6;
const overhead = header + 32 + 64;

/** Reads an envelope: format 1, kind, length of the body, key, signature, body. null: it is none. */
export function parseEnvelope(raw: Uint8Array): Envelope | null {
	if (raw.length < overhead || raw[0] !== 1) return null;
	const kind = kinds[raw[1] as number];
	const n = new DataView(raw.buffer, raw.byteOffset).getUint32(2);
	if (!kind || n > raw.length - overhead) return null;
	return {
		kind,
		signer: Uint8Array.from(raw.subarray(header, header + 32)),
		signature: Uint8Array.from(raw.subarray(header + 32, overhead)),
		body: Uint8Array.from(raw.subarray(overhead, overhead + n)),
	};
}

/** Keys of small order without their sign bit: one signature of such a key fits any text. */
const smallOrders = new Set([
	"00".repeat(32),
	`01${"00".repeat(31)}`,
	...["ec", "ed", "ee"].map((low) => `${low}${"ff".repeat(30)}7f`),
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);

function weak(key: Uint8Array): boolean {
	const k = Uint8Array.from(key);
	k[31] = (k[31] as number) & 0x7f;
	return smallOrders.has(hex(k));
}

/** What came of checking a signature, and why. */
export type Verdict =
	| { state: "verified"; envelope: Envelope }
	| { state: "refused" | "unknown"; why: string; envelope?: Envelope };

/**
 * Checks that a peer signed a document of a kind for a network. "unknown" is no verdict: this browser cannot check.
 * A signature covers "gpuai/KIND/1", 00, the network's name, 00, the body: one made for another network does not fit.
 */
export async function verify(raw: Uint8Array, kind: Kind, peer: string, network: string): Promise<Verdict> {
	const envelope = parseEnvelope(raw);
	if (!envelope) return { state: "refused", why: "these bytes are no signed document of a form known here" };
	if (envelope.kind !== kind) {
		return { state: "refused", why: `this is signed as ${envelope.kind}, not as ${kind}`, envelope };
	}
	const key = keyOfPeer(peer);
	if (!key || hex(key) !== hex(envelope.signer)) {
		return { state: "refused", why: `it is signed by ${peerOfKey(envelope.signer)}, not by ${peer}`, envelope };
	}
	if (weak(key)) return { state: "refused", why: "one signature of this key fits any text", envelope };
	const before = new TextEncoder().encode(`gpuai/${kind}/1\0${network}\0`);
	const text = new Uint8Array(before.length + envelope.body.length);
	text.set(before);
	text.set(envelope.body, before.length);
	let good: boolean;
	try {
		const k = await crypto.subtle.importKey("raw", envelope.signer, { name: "Ed25519" }, false, ["verify"]);
		good = await crypto.subtle.verify({ name: "Ed25519" }, k, envelope.signature, text);
	} catch (e) {
		const why = globalThis.crypto?.subtle
			? `this browser does not check Ed25519 (${e instanceof Error ? e.name : "error"})`
			: "a browser checks signatures on https and on localhost only";
		return { state: "unknown", why, envelope };
	}
	return good
		? { state: "verified", envelope }
		: { state: "refused", why: `the signature does not fit the text and the network ${network}`, envelope };
}

/** The fields of a protobuf message by number, in order; null: it is none. Groups and 32-bit fields are in none of ours. */
export function fieldsOf(b: Uint8Array): Map<number, (bigint | Uint8Array<ArrayBuffer>)[]> | null {
	const out = new Map<number, (bigint | Uint8Array<ArrayBuffer>)[]>();
	let at = 0;
	const varint = (): bigint | null => {
		let v = 0n;
		for (let shift = 0n; shift < 70n; shift += 7n) {
			const x = b[at++];
			if (x === undefined) return null;
			v |= BigInt(x & 0x7f) << shift;
			if (x < 0x80) return v;
		}
		return null;
	};
	while (at < b.length) {
		const tag = varint();
		if (tag === null) return null;
		let v: bigint | Uint8Array<ArrayBuffer> | null = null;
		if ((tag & 7n) === 0n) v = varint();
		else if ((tag & 7n) === 2n) {
			const n = varint();
			if (n === null || n > BigInt(b.length - at)) return null;
			v = Uint8Array.from(b.subarray(at, at + Number(n)));
			at += Number(n);
		}
		if (v === null) return null;
		const field = Number(tag >> 3n);
		out.set(field, [...(out.get(field) ?? []), v]);
	}
	return out;
}

type Fields = NonNullable<ReturnType<typeof fieldsOf>>;

function num(f: Fields, n: number): bigint {
	const v = f.get(n)?.at(-1);
	return typeof v === "bigint" ? v : 0n;
}

function blob(f: Fields, n: number): Uint8Array<ArrayBuffer> | undefined {
	const v = f.get(n)?.at(-1);
	return v instanceof Uint8Array ? v : undefined;
}

function text(f: Fields, n: number): string {
	return new TextDecoder().decode(blob(f, n) ?? new Uint8Array());
}

function ones(v: bigint): number {
	let n = 0;
	for (let x = v & 0xffff_ffff_ffff_ffffn; x > 0n; x &= x - 1n) n++;
	return n;
}

/** What a signed Offer says, as far as a page shows it. */
export interface SignedOffer {
	seq: bigint;
	lifetimeS: bigint;
	version: string;
	payout?: string;
	groups: { class: string; name: string; devices: number; free: number }[];
}

/** Reads the body of an Offer; null: it is none. */
export function readOffer(body: Uint8Array): SignedOffer | null {
	const f = fieldsOf(body);
	if (!f) return null;
	const payout = blob(f, 7);
	const groups = [];
	for (const raw of f.get(3) ?? []) {
		const g = raw instanceof Uint8Array ? fieldsOf(raw) : null;
		if (!g) return null;
		groups.push({
			class: text(g, 3),
			name: text(g, 7),
			devices: g.get(1)?.length ?? 0,
			free: ones(num(g, 2)),
		});
	}
	const offer = { seq: num(f, 1), lifetimeS: num(f, 2), version: text(f, 11), groups };
	return payout ? { ...offer, payout: base58(payout) } : offer;
}

/** What a signed Outcome says of a lease. Times are unix ms, 0: none; the amount is in the smallest unit. */
export interface SignedOutcome {
	lease: string;
	code: string;
	accepted: number;
	ready: number;
	ended: number;
	billableMs: bigint;
	amount: bigint;
	outputs?: string;
	deal?: { class: string; rate: bigint; devices: number; channel?: string };
}

/** Reads the body of an Outcome; null: it is none. */
export function readOutcome(body: Uint8Array): SignedOutcome | null {
	const f = fieldsOf(body);
	const lease = f && blob(f, 1);
	if (!f || lease?.length !== 16) return null;
	const out: SignedOutcome = {
		lease: `lease_${base32hex(lease)}`,
		code: text(f, 3),
		accepted: Number(num(f, 4)),
		ready: Number(num(f, 5)),
		ended: Number(num(f, 6)),
		billableMs: num(f, 7),
		amount: num(f, 8),
	};
	const outputs = blob(f, 12);
	if (outputs) out.outputs = hex(outputs);
	const raw = blob(f, 17);
	const deal = raw && fieldsOf(raw);
	if (!deal) return out;
	out.deal = { class: text(deal, 1), rate: num(deal, 2), devices: Number(num(deal, 3)) };
	const channel = blob(deal, 5);
	if (channel) out.deal.channel = base58(channel);
	return out;
}

/** Bytes in lower-case base32hex, without fillers, as ids of leases are written. */
function base32hex(b: Uint8Array): string {
	let bits = 0;
	let v = 0;
	let out = "";
	for (const x of b) {
		v = (v << 8) | x;
		for (bits += 8; bits >= 5; bits -= 5) out += "0123456789abcdefghijklmnopqrstuv"[(v >> (bits - 5)) & 31];
		v &= 31;
	}
	return bits > 0 ? out + "0123456789abcdefghijklmnopqrstuv"[(v << (5 - bits)) & 31] : out;
}
