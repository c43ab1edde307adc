// From a customer's command line to what anybody reads: a real job on real parts, watched from the first page on.
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { assert, open, site } from "./lib.mjs";

const { at, bin, home, image, rpc } = site;
const env = { ...process.env, HOME: home };

/** What a command of the customer prints. */
async function gpuai(...args) {
	const done = await promisify(execFile)(bin, args, { env, timeout: 90_000, maxBuffer: 1 << 24 });
	return done.stdout;
}
const json = async (...args) => JSON.parse(await gpuai(...args, "--json"));

/**
 * The customer's job of docs/try.md: a script in, a file out, paid by the second. It earns more than the least that a
 * new account may hold (0.00089 SOL, some 3 s of 1 SOL/h), so that the provider is paid at once.
 */
async function job() {
	writeFileSync(`${home}/job.sh`, "for i in 1 2 3 4 5 6; do echo step $i; sleep 1; done; mkdir out; date >out/when");
	const files = ["--in", `${home}/job.sh:/workspace/job.sh`, "--out", `/workspace/out:${home}/out`];
	const limits = ["--cpu", "1", "--max-total", "0.08", "--name", "journey"];
	const said = await gpuai("run", "-y", ...limits, ...files, image, "--", "sh", "-c", "cd /workspace; sh job.sh");
	assert.match(said, /step 6/);
	assert.ok(readFileSync(`${home}/out/when`, "utf8").trim(), "the job's file came home");
}

/** The balance of an account on the ledger, in its smallest unit. */
async function balance(account) {
	const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "getBalance", params: [account] });
	const got = await fetch(rpc, { method: "POST", headers: { "content-type": "application/json" }, body });
	return String((await got.json()).result.value);
}

/** Asks until an answer is as wished; the test's own end is the limit. */
async function until(ask, good) {
	for (;;) {
		const got = await ask();
		if (good(got)) return got;
		await new Promise((f) => setTimeout(f, 250));
	}
}

test("a lease is on the first page while it ends, and its figures are the customer's and the ledger's", {
	timeout: 150_000,
}, async () => {
	await until(
		() => json("offers"),
		({ offers }) => new Set(offers.map((o) => o.provider)).size === 2,
	);
	const view = await open(at);
	const { page } = view;
	page.setDefaultTimeout(40_000);
	// Nothing is read again by the clock: what changes, the event stream told.
	await page.addInitScript(() => {
		window.setInterval = () => 0;
	});
	const stream = page.waitForResponse((r) => r.url().endsWith("/public/v1/events") && r.ok());
	await view.go("/");
	await stream;
	await page.evaluate(() => {
		window.__same = true;
	});
	const link = page.locator('main a[href^="/leases/lease_"]');
	assert.equal(await link.count(), 0, "no lease yet");

	await job();
	const { order } = await json("receipt", "journey");
	await link.first().waitFor();
	assert.equal(await page.evaluate(() => window.__same), true, "the page was not loaded again");
	assert.equal(await link.first().getAttribute("href"), `/leases/${order.lease_id}`);

	await link.first().click();
	for (const side of ["provider", "customer"]) await page.getByText(`${side}: verified`).waitFor();
	assert.equal(await page.locator("main [role=alert]").count(), 0);
	const fact = (name) => page.locator("main dl > div", { has: page.locator("dt", { hasText: name }) });
	const amount = await fact(/^amount$/)
		.locator("data")
		.getAttribute("value");
	assert.equal(amount, order.paid.amount);
	await until(
		() => json("channel", "show", order.channel),
		(c) => c.state === "paid-out",
	);
	await until(
		async () => (await fetch(`${at}/public/v1/leases/${order.lease_id}`)).json(),
		(l) => l.settled === true,
	);
	await fact(/^on the chain$/)
		.getByText("settled")
		.waitFor();

	await fact(/^channel$/)
		.locator("a")
		.click();
	await page.waitForURL(`**/channels/${order.channel}`);
	const channel = await until(
		() => json("channel", "show", order.channel),
		(c) => c.state === "paid-out",
	);
	const part = async (name) => {
		const one = page.locator("main figcaption li", { hasText: name });
		return one.locator("data").getAttribute("value");
	};
	assert.equal(await part("paid to the provider"), channel.paid.amount);
	assert.equal(await part("returned to the customer"), channel.returned.amount);
	assert.equal(BigInt(channel.paid.amount) + BigInt(channel.returned.amount), BigInt(channel.deposit.amount));
	const payee = (await fact(/^to$/).locator("a").getAttribute("href")).replace("/wallets/", "");
	assert.equal(await balance(payee), channel.paid.amount, "what the provider's account holds");
	assert.deepEqual(view.seen(), []);
	await view.close();
});
