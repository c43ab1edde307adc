// The site without a mouse.
import { test } from "node:test";
import { assert, open, pages, site } from "./lib.mjs";

const focused = (page) =>
	page.evaluate(() => {
		const e = document.activeElement;
		const s = e && getComputedStyle(e);
		const box = e?.getBoundingClientRect();
		return {
			tag: e?.tagName,
			id: e?.id,
			text: (e?.innerText || e?.getAttribute("aria-label") || "").trim().slice(0, 60),
			href: e?.getAttribute("href"),
			outlined: Boolean(s && s.outlineStyle !== "none" && Number.parseFloat(s.outlineWidth) > 0),
			visible: Boolean(box && box.width > 0 && box.height > 0),
		};
	});

test("the first stop leads to the content", async () => {
	const view = await open(site.full);
	await view.go(...pages.offers);
	await view.page.keyboard.press("Tab");
	const first = await focused(view.page);
	assert.equal(first.href, "#main");
	assert.ok(first.visible && first.outlined, JSON.stringify(first));
	await view.page.keyboard.press("Enter");
	assert.equal((await focused(view.page)).id, "main");
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("each stop is seen", async () => {
	const view = await open(site.full);
	for (const name of ["home", "provider", "channel"]) {
		await view.go(...pages[name]);
		const stops = new Set();
		for (let i = 0; i < 40; i++) {
			await view.page.keyboard.press("Tab");
			const at = await focused(view.page);
			if (at.tag === "BODY") break;
			assert.ok(at.visible && at.outlined, `${name}, stop ${i}: ${JSON.stringify(at)}`);
			stops.add(`${at.tag} ${at.text} ${at.href}`);
		}
		assert.ok(stops.size > 10, `${name}: ${stops.size} stops`);
	}
	await view.close();
});

test("/ goes to the search, Enter searches", async () => {
	const view = await open(site.full);
	await view.go(...pages.network);
	await view.page.keyboard.press("/");
	assert.equal((await focused(view.page)).tag, "INPUT");
	await view.page.keyboard.type(site.ids.slug.slice(0, 5));
	await view.page.keyboard.press("Enter");
	await view.page.waitForURL(`**/search?q=${site.ids.slug.slice(0, 5)}`);
	await view.page.locator("main").getByText(site.ids.slug).first().waitFor();
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("tables sort by their heads, and the order is in the address", async () => {
	const view = await open(site.full);
	await view.go(...pages.models);
	const head = view.page.locator("th", { hasText: "Median" });
	await head.locator("button").focus();
	await view.page.keyboard.press("Enter");
	await view.page.waitForURL(/sort=/);
	const order = await head.getAttribute("aria-sort");
	assert.match(order, /ascending|descending/);
	await view.page.keyboard.press("Enter");
	await view.page.waitForFunction(
		(was) =>
			[...document.querySelectorAll("th")]
				.find((h) => h.innerText.includes("Median"))
				.getAttribute("aria-sort") !== was,
		order,
	);
	await view.page.reload();
	await head.waitFor();
	assert.notEqual(await head.getAttribute("aria-sort"), order, "the address keeps it");
	await view.page.locator("tbody a").first().focus();
	const first = await focused(view.page);
	await view.page.keyboard.press("ArrowDown");
	const second = await focused(view.page);
	assert.ok(second.tag === "A" && second.href !== first.href, JSON.stringify([first, second]));
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("a figure says where it comes from, and gives the focus back", async () => {
	const view = await open(site.full);
	await view.go(...pages.escrow);
	const figure = view.page.locator("main button[aria-haspopup=dialog]").first();
	await figure.focus();
	await view.page.keyboard.press("Enter");
	const dialog = view.page.locator("[role=dialog]");
	await dialog.waitFor();
	assert.match(await dialog.innerText(), /chain|signed|probe|provider/i);
	await view.page.keyboard.press("Escape");
	await dialog.waitFor({ state: "detached" });
	assert.equal(await figure.evaluate((e) => e === document.activeElement), true);
	assert.deepEqual(view.seen(), []);
	await view.close();
});

test("narrow: the menu opens by key", async () => {
	const view = await open(site.full, { width: 390 });
	await view.go(...pages.home);
	const menu = view.page.getByRole("button", { name: "menu" });
	await menu.focus();
	await view.page.keyboard.press("Enter");
	await view.page.getByRole("link", { name: "Escrow" }).click();
	await view.page.waitForURL("**/escrow");
	assert.deepEqual(view.seen(), []);
	await view.close();
});
