// What a browser must load, in bytes of gzip: counted from the files that are embedded.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { assert } from "./lib.mjs";

const kB = 1000;
const files = readdirSync("dist/assets").filter((f) => f.endsWith(".gz"));
const size = (f) => statSync(`dist/assets/${f}`).size;
const text = (f) => gunzipSync(readFileSync(`dist/assets/${f}`)).toString();
const one = (pattern) => {
	const found = files.filter((f) => pattern.test(f));
	assert.equal(found.length, 1, `${pattern}: ${found}`);
	return found[0];
};

/** A chunk with all that it imports before it runs. */
function withImports(file, all = new Set()) {
	if (all.has(file)) return all;
	all.add(file);
	const heads = text(file).matchAll(/(?:^|;|\})import(?:[^"'`();]*?from)?\s*["'`]\.\/([^"'`]+)["'`]/g);
	for (const [, name] of heads) if (files.includes(`${name}.gz`)) withImports(`${name}.gz`, all);
	return all;
}

const sum = (set) => [...set].reduce((n, f) => n + size(f), 0);

test("entry: 120 kB", () => {
	const html = gunzipSync(readFileSync("dist/index.html.gz")).toString();
	const entry = [...html.matchAll(/(?:src|href)="\/assets\/([^"]+\.js)"/g)].map(([, f]) => `${f}.gz`);
	assert.ok(entry.length > 0);
	const n = sum(new Set(entry.flatMap((f) => [...withImports(f)])));
	console.log(`entry ${n}`);
	assert.ok(n <= 120 * kB, `${n} bytes`);
});

test("first route: 150 kB, whichever it is", () => {
	const html = gunzipSync(readFileSync("dist/index.html.gz")).toString();
	const entry = [...html.matchAll(/(?:src|href)="\/assets\/([^"]+\.js)"/g)].map(([, f]) => `${f}.gz`);
	const routes = readdirSync("src/routes")
		.filter((f) => f.endsWith(".tsx"))
		.map((f) => f.replace(".tsx", ""));
	for (const r of routes) {
		const chunk = files.find((f) => new RegExp(`^${r}-[\\w-]{8}\\.js\\.gz$`).test(f));
		assert.ok(chunk, `no chunk of the page ${r}`);
		const n = sum(new Set([...entry.flatMap((f) => [...withImports(f)]), ...withImports(chunk)]));
		console.log(`route ${r} ${n}`);
		// The tables have a budget of their own.
		const tables = [...withImports(chunk)].filter((f) => /^DataTable/.test(f)).reduce((a, f) => a + size(f), 0);
		assert.ok(n - tables <= 150 * kB, `${r}: ${n - tables} bytes`);
	}
});

test("plots 26 kB, tables 42 kB, styles 15 kB", () => {
	for (const [pattern, most] of [
		[/^draw-.*\.js\.gz$/, 26],
		[/^DataTable-.*\.js\.gz$/, 42],
	]) {
		const n = size(one(pattern));
		console.log(`${pattern} ${n}`);
		assert.ok(n <= most * kB, `${pattern}: ${n} bytes`);
	}
	const css = files.filter((f) => f.endsWith(".css.gz")).reduce((n, f) => n + size(f), 0);
	console.log(`css ${css}`);
	assert.ok(css <= 15 * kB, `${css} bytes`);
});

test("at most 15 packages at run time", () => {
	const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
	assert.ok(Object.keys(dependencies).length <= 15, Object.keys(dependencies).join(" "));
	for (const v of Object.values(dependencies)) assert.match(v, /^\d+\.\d+\.\d+$/, "exact versions only");
});
