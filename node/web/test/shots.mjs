// Takes pictures: node test/shots.mjs takes every page, light and dark, wide and narrow, into shots/; names of pages take
// those only; the name docs takes the eight of docs/site.
import { mkdirSync } from "node:fs";
import { browser, open, pages, site } from "./lib.mjs";

const only = process.argv.slice(2);

async function take(name, theme, width, path, fullPage) {
	const view = await open(site.full, { theme, width, height: width > 800 ? 860 : 844, motion: "reduce" });
	await view.go(...pages[name]);
	await view.page.evaluate(() => document.fonts.ready);
	await view.page.waitForFunction(() => !document.querySelector("main [data-state=loading]"));
	await view.page.waitForTimeout(400); // what is drawn on a canvas
	await view.page.screenshot({ path, fullPage });
	await view.close();
}

if (only[0] === "docs") {
	for (const [name, theme, width] of [
		["home", "light", 1280],
		["model", "dark", 1280],
		["book", "light", 1280],
		["provider", "light", 1280],
		["lease", "dark", 1280],
		["channelClosing", "light", 1280],
		["home", "dark", 390],
		["offers", "light", 390],
	]) {
		await take(name, theme, width, `../../docs/site/${name}-${theme}-${width}.png`, false);
	}
} else {
	mkdirSync("shots", { recursive: true });
	for (const name of only.length ? only : Object.keys(pages)) {
		for (const theme of ["light", "dark"]) {
			for (const width of [1280, 390])
				await take(name, theme, width, `shots/${name}-${theme}-${width}.png`, true);
		}
	}
}
await (await browser()).close();
