// Each page, light and dark, wide and narrow: its data is there, axe finds nothing, nothing scrolls sideways, and the
// browser has nothing to complain about.
import { test } from "node:test";
import { assert, audit, open, overflow, pages, site } from "./lib.mjs";

for (const theme of ["light", "dark"]) {
	for (const width of [1280, 390]) {
		test(`${theme} at ${width} px`, async (t) => {
			const view = await open(site.full, { theme, width, allow: [/console: Failed to load resource.*404/] });
			for (const [name, [path, text]] of Object.entries(pages)) {
				await t.test(name, async () => {
					await view.go(path, text);
					assert.deepEqual(await audit(view.page), []);
					assert.ok((await overflow(view.page)) <= 0, "it scrolls sideways");
					assert.deepEqual(view.seen(), []);
				});
			}
			await view.close();
		});
	}
}

test("at 360 px no page scrolls sideways", async () => {
	const view = await open(site.full, { width: 360, allow: [/console: Failed to load resource.*404/] });
	const wide = [];
	for (const [name, [path, text]] of Object.entries(pages)) {
		await view.go(path, text);
		const by = await overflow(view.page);
		if (by > 0) wide.push(`${name} by ${by} px`);
	}
	assert.deepEqual(wide, []);
	await view.close();
});

test("who wants no motion sees none", async () => {
	const view = await open(site.full, { motion: "reduce" });
	for (const name of ["home", "model", "provider"]) {
		await view.go(...pages[name]);
		const moving = await view.page.evaluate(
			() =>
				document.getAnimations().filter((a) => Number(a.effect?.getComputedTiming().activeDuration ?? 0) > 20)
					.length,
		);
		assert.equal(moving, 0, name);
	}
	await view.close();
});

test("plots have their colours, also for who wants no motion", async () => {
	for (const motion of ["reduce", "no-preference"]) {
		const view = await open(site.full, { motion });
		await view.go(...pages.model);
		await view.page.waitForFunction(() =>
			[...document.querySelectorAll("main canvas")].some((c) => {
				const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
				for (let i = 0; i < data.length; i += 4)
					if (data[i + 3] > 200 && data[i + 1] > data[i] + 40) return true;
				return false;
			}),
		);
		assert.deepEqual(view.seen(), []);
		await view.close();
	}
});
