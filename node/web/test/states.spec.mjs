// The states of a view: nothing yet, nothing there, a fault, an old answer, a source that is missing.
import { test } from "node:test";
import { assert, open, pages, site } from "./lib.mjs";

const api = "**/public/v1/**";
const failed = [/Failed to load resource/];
const views = [
	"home",
	"models",
	"model",
	"book",
	"offers",
	"providers",
	"provider",
	"leases",
	"lease",
	"channel",
	"payer",
	"network",
	"escrow",
];

test("loading: a skeleton stands there until the answer comes, then it is gone", async () => {
	const view = await open(site.full);
	for (const name of views) {
		let let_go;
		const held = new Promise((f) => {
			let_go = f;
		});
		await view.page.route(api, async (r) => {
			await held;
			await r.continue().catch(() => {}); // the page has gone on
		});
		await view.page.goto(site.full + pages[name][0]);
		await view.page.locator("main [data-state=loading]").first().waitFor({ state: "attached" });
		let_go();
		await view.page.locator("main").getByText(pages[name][1]).locator("visible=true").first().waitFor();
		await view.page.unrouteAll({ behavior: "ignoreErrors" });
	}
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("error: code, why, what helps, and once more", async () => {
	const view = await open(site.full, { allow: failed });
	for (const name of views) {
		let down = true;
		await view.page.route(api, (r) =>
			down && !r.request().url().endsWith("/events")
				? r.fulfill({
						status: 400,
						contentType: "application/problem+json",
						body: JSON.stringify({
							type: "about:blank",
							title: "the index is being mended",
							status: 400,
							code: "index-unusable",
							why: "its file is damaged",
							fix: [{ text: "see what it says", command: "gpuai indexer run" }],
							fault: "node",
							retryable: false,
						}),
					})
				: r.continue(),
		);
		await view.page.goto(site.full + pages[name][0]);
		const fault = view.page.locator("main [data-state=error]").first();
		await fault.waitFor();
		const said = await fault.innerText();
		for (const part of [
			"error[index-unusable]",
			"the index is being mended",
			"its file is damaged",
			"gpuai indexer run",
		]) {
			assert.ok(said.includes(part), `${name}: no “${part}” in ${said}`);
		}
		down = false;
		const again = view.page.locator("main [data-state=error] button", { hasText: "try again" });
		while (await again.count()) {
			await again.first().click();
			await view.page.waitForTimeout(50);
		}
		await view.page.locator("main").getByText(pages[name][1]).locator("visible=true").first().waitFor();
		await view.page.unrouteAll({ behavior: "ignoreErrors" });
	}
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("what an index does not have is said with the code", async () => {
	const view = await open(site.full, { allow: failed });
	for (const path of ["/gpus/none", "/book/none", "/providers/none", "/leases/none", "/channels/none"]) {
		await view.page.goto(site.full + path);
		const said = await view.page.locator("main [data-state=error]").first().textContent();
		assert.match(said, /error\[not-found\]/, path);
	}
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("an answer of another form breaks its page, not the site", async () => {
	const view = await open(site.full, { allow: [...failed, /console: .*(TypeError|error)/i] });
	await view.page.route("**/public/v1/escrow", (r) => r.fulfill({ json: { schema: "gpuai.public-escrow/v9" } }));
	await view.page.goto(`${site.full}/escrow`);
	await view.page.getByRole("heading", { name: "This page cannot be drawn" }).waitFor();
	await view.page.getByRole("link", { name: "Network" }).click();
	await view.page.getByRole("heading", { name: "Network" }).waitFor();
	await view.close();
});

test("empty: why, and the next command", async () => {
	const view = await open(site.empty);
	for (const path of ["/", "/gpus", "/offers", "/providers", "/leases", `/wallets/${site.ids.payer}`, "/network"]) {
		await view.page.goto(site.empty + path);
		const empty = view.page.locator("main [data-state=empty]").first();
		await empty.waitFor();
		assert.ok(await empty.locator("code").count(), `${path}: no command in ${await empty.innerText()}`);
	}
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("partial: the source that is missing is named", async () => {
	const view = await open(site.empty);
	for (const [path, source] of [
		["/network", /probes/],
		["/escrow", /chain/],
	]) {
		await view.page.goto(site.empty + path);
		assert.match(await view.page.locator("main [data-state=partial]").first().innerText(), source, path);
	}
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("stale: the age of figures is said once the indexer has not answered for two refreshes", async () => {
	const view = await open(site.full, { allow: failed });
	await view.page.clock.install();
	await view.go(...pages.home);
	assert.equal(await view.page.locator("[data-state=stale]").count(), 0);
	await view.page.route(api, (r) => r.abort());
	for (let i = 0; i < 10; i++) await view.page.clock.runFor(30_000);
	const said = await view.page.locator("main [data-state=stale]").first().innerText();
	assert.match(said, /old/);
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("a stream that broke before it told anything has all read again once it is back", async () => {
	const view = await open(site.full, { allow: failed });
	let streams = 0;
	await view.page.route("**/public/v1/events", (r) => {
		streams++;
		return streams < 3
			? r.fulfill({ status: 200, contentType: "text/event-stream", body: ": ready\n\n" })
			: r.abort();
	});
	await view.go(...pages.leases);
	const again = view.page.waitForResponse((r) => /\/public\/v1\/leases/.test(r.url()));
	await again;
	assert.ok(streams >= 2);
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("a page whose code is with an indexer that is away says so inside the frame, and comes when it is back", async () => {
	const view = await open(site.full, { allow: failed });
	await view.go(...pages.leases);
	await view.page.route("**/*", (r) => r.abort());
	await view.page.locator("header a", { hasText: "Network" }).click();
	const fault = view.page.locator("main [data-state=error]", { hasText: "does not answer" });
	await fault.waitFor();
	await view.page.unrouteAll({ behavior: "ignoreErrors" });
	await fault.locator("button", { hasText: "try again" }).click();
	await view.page.locator("main").getByText(pages.network[1]).locator("visible=true").first().waitFor();
	await view.close();
});
