import { base } from "./client.ts";
import { queries } from "./query.ts";

// One event stream for all tabs of a browser: the tab that holds the lock reads it and tells the others.

/** What an event of a topic may change, by the path's template. */
const touches: Record<string, readonly string[]> = {
	offer: [
		"/summary",
		"/gpus",
		"/gpus/{slug}",
		"/book/{slug}",
		"/offers",
		"/offers/{peer}",
		"/offers/{peer}/raw",
		"/providers",
		"/providers/{peer}",
		"/network",
	],
	// A channel's settled amount says whether its leases are settled, which a lease's page says beside its transactions.
	channel: ["/summary", "/channels/{addr}", "/wallets/{addr}", "/escrow", "/leases", "/leases/{id}"],
	transaction: ["/channels/{addr}", "/wallets/{addr}", "/leases/{id}"],
	lease: ["/summary", "/leases", "/leases/{id}", "/gpus/{slug}", "/gpus/{slug}/cleared", "/providers/{peer}"],
	want: ["/book/{slug}", "/gpus/{slug}", "/wants"],
};

/** The least time between two readings that events cause: an address has 20 requests a second for all its pages. */
export const settle = 3_000;

type Told = { topic: string; id: string } | { live: boolean } | { ask: true };

/** Parts of a stream of server-sent events; what is left over belongs before the next piece. */
export function parse(text: string): { events: { id: string; event: string; data: string }[]; rest: string } {
	const events = [];
	let at = 0;
	for (;;) {
		const end = text.indexOf("\n\n", at);
		if (end < 0) break;
		const one = { id: "", event: "message", data: "" };
		for (const line of text.slice(at, end).split("\n")) {
			const [name, value] = split(line);
			if (name === "id") one.id = value;
			else if (name === "event") one.event = value;
			else if (name === "data") one.data += value;
		}
		at = end + 2;
		if (one.id || one.event !== "message" || one.data) events.push(one);
	}
	return { events, rest: text.slice(at) };
}

function split(line: string): [string, string] {
	const i = line.indexOf(":");
	return i < 0 ? [line, ""] : [line.slice(0, i), line.slice(line[i + 1] === " " ? i + 2 : i + 1)];
}

const listeners = new Set<() => void>();
let live = false;
let leads = false;
let last = "";
let opened = 0;

/** Whether the stream of this browser is open; for useSyncExternalStore. */
export const stream = {
	subscribe(f: () => void): () => void {
		listeners.add(f);
		return () => listeners.delete(f);
	},
	live: () => live,
};

function hear(m: Told): void {
	if ("ask" in m) return;
	if ("live" in m) {
		live = m.live;
		for (const f of listeners) f();
		return;
	}
	if (m.id) last = m.id;
	if (m.topic === "reset" || m.topic === "lagged") mark(null);
	else for (const path of touches[m.topic] ?? []) mark(path);
}

let due: Set<string> | "all" = new Set();
let timer: ReturnType<typeof setTimeout> | undefined;

/** Reads again what changed, together and not at once. null: all of it. */
function mark(path: string | null): void {
	if (path === null) due = "all";
	else if (due !== "all") due.add(path);
	if (timer) return;
	timer = setTimeout(() => {
		const now = due;
		due = new Set();
		timer = undefined;
		void queries.invalidateQueries({
			predicate: (q) => now === "all" || now.has(String(q.queryKey[0])),
			refetchType: document.hidden ? "none" : "active", // read again once it is seen
		});
	}, settle);
}

/** Follows the stream for as long as the page lives. */
export function follow(): void {
	const others = new BroadcastChannel("gpuai-events");
	others.onmessage = (e: MessageEvent<Told>) => {
		if ("ask" in e.data && leads) others.postMessage({ live });
		hear(e.data);
	};
	others.postMessage({ ask: true });
	const tell = (m: Told) => {
		hear(m);
		others.postMessage(m);
	};
	const lead = async () => {
		leads = true;
		for (let failed = 0; ; failed++) {
			if (await read(tell)) failed = 0;
			tell({ live: false });
			await new Promise((f) => setTimeout(f, Math.min(1000 * 2 ** failed, 60_000)));
		}
	};
	if (navigator.locks) void navigator.locks.request("gpuai-events", lead);
	else void lead();
}

/** Reads until the stream ends; whether it ever opened. */
async function read(tell: (m: Told) => void): Promise<boolean> {
	const before = opened;
	try {
		const got = await fetch(`${base}/events`, {
			headers: last ? { "Last-Event-ID": last } : {},
			cache: "no-store",
		});
		if (!got.ok || !got.body) return false;
		tell({ live: true });
		// Without an id the indexer cannot tell what was missed, nor that it was built anew.
		if (opened++ > 0 && !last) tell({ topic: "reset", id: "" });
		const reader = got.body.pipeThrough(new TextDecoderStream()).getReader();
		let text = "";
		for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
			const { events, rest } = parse(text + piece.value);
			text = rest;
			for (const e of events) tell({ topic: e.event, id: e.id });
			if (text.length > 1 << 20) break; // no event is so long
		}
	} catch {
		// the next attempt says more
	}
	return opened > before;
}
