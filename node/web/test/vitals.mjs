// Measures what a reader feels on a processor four times as slow: the largest paint (LCP) of a page that is opened anew,
// and the slowest answer to a key or click (INP) while it is used. A JSON line for each page; medians of five, ms.
import { browser, open, pages, site } from "./lib.mjs";

const rounds = 5;
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** What somebody does on a page. */
const uses = {
	home: async (p) => {
		await p.locator("main button[aria-haspopup=dialog]").first().click();
		await p.keyboard.press("Escape");
		await p.keyboard.press("/");
		await p.keyboard.type("rtx");
	},
	model: async (p) => {
		await p.getByRole("tab", { name: "30 days" }).click();
		await p.locator("main").getByRole("button", { name: "table" }).first().click();
	},
	offers: async (p) => {
		await p.locator("main th button").first().click();
		await p.locator("main input[type=search]").first().pressSequentially("rtx-4");
	},
	provider: async (p) => {
		await p.locator("main").getByRole("button", { name: "table" }).first().click();
		await p.locator("main summary").click();
	},
	lease: async (p) => {
		await p.locator("main th button").first().click();
		await p.locator("main tbody a, main dd a").first().hover();
	},
};

for (const [name, use] of Object.entries(uses)) {
	const lcp = [];
	const inp = [];
	for (let i = 0; i < rounds; i++) {
		const view = await open(site.full, { theme: "light", width: 1280 });
		await view.context.addInitScript(() => {
			window.__vitals = { lcp: 0, inp: 0 };
			new PerformanceObserver((l) => {
				for (const e of l.getEntries()) window.__vitals.lcp = Math.max(window.__vitals.lcp, e.startTime);
			}).observe({ type: "largest-contentful-paint", buffered: true });
			new PerformanceObserver((l) => {
				for (const e of l.getEntries())
					if (e.interactionId) window.__vitals.inp = Math.max(window.__vitals.inp, e.duration);
			}).observe({ type: "event", buffered: true, durationThreshold: 16 });
		});
		const tools = await view.context.newCDPSession(view.page);
		await tools.send("Emulation.setCPUThrottlingRate", { rate: 4 });
		await view.go(...pages[name]);
		await view.page.waitForTimeout(1500);
		lcp.push(await view.page.evaluate(() => window.__vitals.lcp));
		await use(view.page);
		await view.page.waitForTimeout(800);
		inp.push(await view.page.evaluate(() => window.__vitals.inp));
		await view.close();
	}
	console.log(
		JSON.stringify({
			page: name,
			lcp_ms: Math.round(median(lcp)),
			lcp_max_ms: Math.round(Math.max(...lcp)),
			inp_ms: Math.round(median(inp)),
			inp_max_ms: Math.round(Math.max(...inp)),
		}),
	);
}
await (await browser()).close();
