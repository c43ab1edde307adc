// 200 texts in every field that a peer fills: shown, never obeyed. The index is filled past the decoders that refuse most.
import { test } from "node:test";
import { assert, open, site } from "./lib.mjs";

const { hostile: at, peers, leases, texts } = site;
const allow = [/Failed to load resource/];

/** Goes on within the app, as a link does. */
async function walk(page, path) {
	await page.evaluate((p) => history.pushState({}, "", p), path);
	await page.waitForFunction(
		() => !document.querySelector("main [data-state=loading]") && document.querySelector("main h1"),
	);
}

/** Nothing ran: no dialog, no report, no request elsewhere, no trace of a script, no element that a text made. */
async function clean(view, where) {
	const made = await view.page.evaluate(() =>
		[
			window.__hit ? "a script ran" : "",
			...[
				...document.querySelectorAll(
					"main script, main iframe, main object, main embed, main base, main img, main video, main style, main form[action^=java], main a[href^=java i], main a[href^=data i], main [onerror], main [onload], main [onfocus], main [onmouseover]",
				),
			].map((e) => e.outerHTML.slice(0, 120)),
		].filter(Boolean),
	);
	assert.deepEqual([...made, ...view.seen()], [], where);
}

test("lists of all 200", async () => {
	const view = await open(at, { allow });
	for (const path of ["/", "/gpus", "/offers", "/providers", "/leases", "/network", "/escrow", "/search?q=%3C"]) {
		await view.page.goto(at + path);
		await view.page.locator("main h1").first().waitFor();
		await view.page.waitForFunction(() => !document.querySelector("main [data-state=loading]"));
		for (let i = 0; i < 12; i++) await view.page.mouse.wheel(0, 900);
		await clean(view, path);
	}
	await view.close();
});

test("a page of each", async () => {
	const view = await open(at, { allow });
	await view.page.goto(`${at}/definitions`);
	await view.page.locator("main h1").first().waitFor();
	let drawn = 0;
	for (const [i, text] of texts.entries()) {
		await walk(view.page, `/providers/${peers[i]}`);
		drawn += (await view.page.locator("main").innerText()).includes("2 devices") ? 1 : 0;
		await clean(view, `provider with ${text}`);
		if (i % 5 === 0) {
			await walk(view.page, `/leases/${leases[i]}`);
			await clean(view, `lease with ${text}`);
			await walk(view.page, `/gpus/${encodeURIComponent(text)}`);
			await clean(view, `model with ${text}`);
		}
	}
	assert.ok(drawn > 180, `only ${drawn} of ${texts.length} were drawn`);
	await view.close();
});

test("in the address", async () => {
	const view = await open(at, { allow });
	for (const [i, text] of texts.entries()) {
		if (i % 4) continue;
		const t = encodeURIComponent(text);
		const path = [
			`/search?q=${t}`,
			`/offers?slug=${t}&sort=${t}&find=${t}`,
			`/leases?provider=${t}&sort=${t}`,
			`/wallets/${t}`,
			`/book/${t}`,
		][(i / 4) % 5];
		await view.page.goto(at + path);
		await view.page.locator("main h1").first().waitFor();
		await clean(view, path);
	}
	await view.close();
});
