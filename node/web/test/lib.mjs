// What the browser tests share: one Chromium, pages that are watched, and the list of the site's pages.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after } from "node:test";
import { chromium } from "playwright-core";

/** Where the indexers of this run listen (full, empty), and ids of what they hold. */
export const site = JSON.parse(process.env.GPUAI_WEB);

/** Pages by name: path, and a text that stands there once its data is drawn. */
export function pagesOf({ slug, peer, payer, payout, open, closing, sealed, gone, lease }) {
	return {
		home: ["/", /RTX 4090|rtx-4090/i],
		models: ["/gpus", slug],
		model: [`/gpus/${slug}`, slug],
		book: [`/book/${slug}`, slug],
		offers: ["/offers", slug],
		providers: ["/providers", peer.slice(-4)],
		provider: [`/providers/${peer}`, /verified/],
		leases: ["/leases", /lease/i],
		...(lease ? { lease: [`/leases/${lease}`, /verified/] } : {}),
		channel: [`/channels/${open}`, /open/],
		channelClosing: [`/channels/${closing}`, /closing/],
		...(sealed ? { channelSealed: [`/channels/${sealed}`, /sealed/] } : {}),
		channelGone: [`/channels/${gone}`, /gone/],
		payer: [`/wallets/${payer}`, payer.slice(0, 4)],
		payout: [`/wallets/${payout}`, payout.slice(0, 4)],
		network: ["/network", "0.1.0"],
		escrow: ["/escrow", /SOL/],
		search: ["/search?q=rtx", slug],
		definitions: ["/definitions", /announced/],
		nothing: ["/no/such/page", /Nothing here/],
	};
}
export const pages = site.ids ? pagesOf(site.ids) : {};

const binary = ["chromium", "chromium-browser", "google-chrome"].find((name) => {
	try {
		execFileSync("sh", ["-c", `command -v ${name}`], { stdio: "ignore" });
		return true;
	} catch {
		return false;
	}
});

let running;

/** The browser of this process. As root it has no sandbox of its own: the tests' own pages are all that it opens. */
export async function browser() {
	if (!binary) throw new Error("no Chromium in PATH (Debian: apt-get install chromium)");
	running ??= await chromium.launch({
		executablePath: execFileSync("sh", ["-c", `command -v ${binary}`])
			.toString()
			.trim(),
		args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--disable-gpu", "--hide-scrollbars"],
	});
	return running;
}
after(async () => running?.close());

/**
 * A context and page that are watched: errors of the console and of scripts, reports of the policy, dialogs, requests to
 * another host. Call seen() at the end: it must be empty. Failures of requests that a test makes on purpose: allow.
 */
export async function open(
	at,
	{ theme = "light", width = 1280, height = 900, motion = "no-preference", allow = [] } = {},
) {
	const context = await (await browser()).newContext({
		viewport: { width, height },
		colorScheme: theme,
		reducedMotion: motion,
		serviceWorkers: "block",
		locale: "en-GB",
		timezoneId: "UTC",
		permissions: ["clipboard-read", "clipboard-write"],
	});
	const found = [];
	await context.exposeBinding("__report", (_, text) => void found.push(`policy: ${text}`));
	await context.addInitScript(() => {
		addEventListener("securitypolicyviolation", (e) =>
			window.__report(`${e.effectiveDirective} ${e.blockedURI} ${e.sample}`),
		);
	});
	context.setDefaultTimeout(8_000);
	const page = await context.newPage();
	page.on("console", (m) => {
		if (m.type() === "error" || m.type() === "warning") found.push(`console: ${m.text()}`);
	});
	page.on("pageerror", (e) => found.push(`script: ${e.message}`));
	page.on("dialog", (d) => {
		found.push(`dialog: ${d.message()}`);
		void d.dismiss();
	});
	page.on("request", (r) => {
		if (new URL(r.url()).origin !== new URL(at).origin && !r.url().startsWith("blob:"))
			found.push(`request: ${r.url()}`);
	});
	/** What was found since it was asked last. */
	const seen = () => found.splice(0).filter((f) => !allow.some((a) => a.test(f)));
	const go = async (path, text) => {
		await page.goto(at + path);
		await page.locator("main h1").first().waitFor();
		if (text !== undefined) await page.locator("main").getByText(text).locator("visible=true").first().waitFor();
	};
	return { page, context, seen, go, close: () => context.close() };
}

/** Runs an expression as the developer tools do: the page's policy does not bind it. */
export async function inside(page, expression) {
	const tools = await page.context().newCDPSession(page);
	const { result, exceptionDetails } = await tools.send("Runtime.evaluate", {
		expression,
		awaitPromise: true,
		returnByValue: true,
	});
	await tools.detach();
	if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
	return result.value;
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds wrong, a line each. */
export async function audit(page) {
	await page.waitForFunction(() =>
		document
			.getAnimations()
			.every((a) => a.playState !== "running" || a.effect?.getTiming().iterations === Infinity),
	);
	await inside(page, `${axe};undefined`);
	return inside(
		page,
		`axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.flatMap((v) =>
			v.nodes.map((n) => v.id + ": " + n.target.join(" ") + ": " + (n.failureSummary ?? "").replace(/\\s+/g, " ").slice(0, 240))))`,
	);
}

/** How many pixels a page is wider than its window. */
export function overflow(page) {
	return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

export { assert };
