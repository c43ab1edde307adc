import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

test("types of the API are those of its document: npm run types", () => {
	const dir = mkdtempSync(join(tmpdir(), "types-"));
	try {
		const out = join(dir, "public.ts");
		const doc = "../../docs/reference/openapi-public.json";
		execFileSync("node_modules/.bin/openapi-typescript", [doc, "-o", out, "--alphabetize"], { stdio: "pipe" });
		assert.equal(readFileSync("src/gen/public.ts", "utf8"), readFileSync(out, "utf8"));
	} finally {
		rmSync(dir, { recursive: true });
	}
});
