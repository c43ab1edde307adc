import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type Ask, offersLine, onLedger, runLine } from "./cli.ts";

const asks: Ask[] = [
	{},
	{ slug: "rtx-4090" },
	{ slug: "rtx-4090", free: "2", rate: "0.0025" },
	{ free: "4" },
	{ vram: "40", country: "de" },
	{ slug: "h100-80gb-hbm3", vram: "80", rate: ".01", free: "1", country: "FR" },
	{ rate: "0.003" },
	{ slug: "cpu", rate: "1" },
];

// test/lines.txt is what a test of the program itself parses: cmd/gpuai/site_test.go.
test("filters become lines of the program", () => {
	const lines = asks.flatMap((a) => [offersLine(a), runLine(a)]);
	assert.equal(`${lines.join("\n")}\n`, readFileSync("test/lines.txt", "utf8"));
});

test("a line for the ledger names the one of this network", () => {
	assert.equal(onLedger("solana account A", "devnet"), "solana account --url devnet A");
	assert.equal(onLedger("solana account A", "localnet-3j6o"), "solana account --url localhost A");
	assert.equal(
		onLedger("solana program dump A x && sha256sum x", "mainnet"),
		"solana program dump --url mainnet-beta A x && sha256sum x",
	);
	assert.equal(onLedger("solana account A", undefined), "solana account A");
	assert.equal(onLedger("gpuai offers", "devnet"), "gpuai offers");
});
