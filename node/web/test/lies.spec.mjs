// An indexer that lies: what a page shows is held against what was signed, and the page says what does not fit.
import { test } from "node:test";
import { assert, open, pages, site } from "./lib.mjs";

/** The lease's page, its answer changed on the way. */
async function told(view, change) {
	const { page } = view;
	await page.unrouteAll({ behavior: "ignoreErrors" });
	await page.route(`**/public/v1/leases/${site.ids.lease}`, async (r) => {
		const got = await r.fetch();
		const lease = await got.json();
		await change(lease);
		await r.fulfill({ response: got, json: lease });
	});
	await page.goto(site.full + pages.lease[0]);
}

/** Base64 with one bit of a byte changed. */
function flipped(text, at) {
	const b = Buffer.from(text, "base64");
	b[at < 0 ? b.length + at : at] ^= 1;
	return b.toString("base64");
}

const more = (m) => ({ ...m, amount: String(BigInt(m.amount) + 1n) });
const minute = (at) => new Date(Date.parse(at) + 60_000).toISOString();
const of = (l, side) => l.documents.find((d) => d.by === side);

test("a figure that differs from what both signed is named", async () => {
	const view = await open(site.full);
	const lies = {
		amount: (l) => Object.assign(l, { amount: more(l.amount) }),
		rate: (l) => Object.assign(l, { rate: more(l.rate) }),
		end: (l) => Object.assign(l, { code: l.code === "completed" ? "job-failed" : "completed" }),
		"time of the end": (l) => Object.assign(l, { ended_at: minute(l.ended_at) }),
		model: (l) => Object.assign(l, { devices: l.devices + 1 }),
		"digest of outputs": (l) => Object.assign(l, { outputs: "ab".repeat(32) }),
		"amount and rate": (l) => Object.assign(l, { amount: more(l.amount), rate: more(l.rate) }),
	};
	for (const [what, lie] of Object.entries(lies)) {
		await told(view, lie);
		const alert = view.page.locator("main [role=alert]");
		await alert.waitFor();
		assert.match(await alert.innerText(), new RegExp(`says another ${what} than was signed`), what);
		// the documents are good all the same
		for (const side of ["provider", "customer"]) await view.page.getByText(`${side}: verified`).waitFor();
	}
	await told(view, () => {});
	for (const side of ["provider", "customer"]) await view.page.getByText(`${side}: verified`).waitFor();
	assert.equal(await view.page.locator("main [role=alert]").count(), 0, "the truth raises no alarm");
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("a document with a changed bit is not verified, wherever the bit is", async () => {
	const view = await open(site.full);
	// format, kind, length, key, signature, and the body's first and last byte
	for (const [i, at] of [0, 1, 5, 6, 40, 102, -1].entries()) {
		const [side, other] = i % 2 ? ["provider", "customer"] : ["customer", "provider"];
		await told(view, (l) => {
			of(l, side).envelope = flipped(of(l, side).envelope, at);
		});
		await view.page.getByText(`${other}: verified`).waitFor();
		await view.page.getByText(`${side}: not verified`).waitFor();
		assert.equal(await view.page.getByText(`${side}: verified`).count(), 0, `${side}, byte ${at}`);
	}
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("a good document of somebody else is not taken for this one's", async () => {
	const view = await open(site.full);
	await told(view, (l) => {
		of(l, "provider").envelope = of(l, "customer").envelope;
	});
	await view.page.getByText("provider: not verified").waitFor();
	const other = (await (await fetch(`${site.full}/public/v1/leases?limit=50`)).json()).leases;
	const mine = await (await fetch(`${site.full}/public/v1/leases/${site.ids.lease}`)).json();
	const twin = other.find((l) => l.lease !== mine.lease && l.provider === mine.provider);
	assert.ok(twin, "the provider has another lease");
	const its = await (await fetch(`${site.full}/public/v1/leases/${twin.lease}`)).json();
	await told(view, (l) => {
		of(l, "provider").envelope = of(its, "provider").envelope;
	});
	await view.page.getByText("provider: verified").waitFor();
	const alert = view.page.locator("main [role=alert]");
	await alert.waitFor();
	assert.match(await alert.innerText(), /says another lease/);
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("an Offer with a changed bit is not verified", async () => {
	const view = await open(site.full);
	await view.page.route(`**/public/v1/offers/${site.ids.peer}/raw`, async (r) => {
		const got = await r.fetch();
		const doc = await got.json();
		await r.fulfill({ response: got, json: { ...doc, envelope: flipped(doc.envelope, -1) } });
	});
	await view.go(pages.provider[0], "not verified");
	assert.deepEqual(view.seen(), []);
	await view.close();
});
