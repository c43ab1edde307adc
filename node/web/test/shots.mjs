// Takes every page, light and dark, wide and narrow, into shots/: node test/shots.mjs, or make web-shots. Also the names
// given: node test/shots.mjs home lease.
import { mkdirSync } from "node:fs";
import { browser, open, pages, site } from "./lib.mjs";

const only = process.argv.slice(2);
mkdirSync("shots", { recursive: true });
for (const theme of ["light", "dark"]) {
	for (const width of [1280, 390]) {
		const view = await open(site.full, { theme, width, height: width === 1280 ? 800 : 844, motion: "reduce" });
		for (const [name, [path, text]] of Object.entries(pages)) {
			if (only.length && !only.includes(name)) continue;
			await view.go(path, text);
			await view.page.evaluate(() => document.fonts.ready);
			await view.page.waitForTimeout(300); // plots are drawn
			await view.page.screenshot({ path: `shots/${name}-${theme}-${width}.png`, fullPage: true });
		}
		await view.close();
	}
}
await (await browser()).close();
