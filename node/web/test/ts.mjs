// Lets Node read the app's TypeScript in tests: node --import ./test/ts.mjs. Types are taken away, nothing else changes.
import { readFileSync } from "node:fs";
import { register } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

if (isMainThread) register(import.meta.url);

export async function load(url, context, next) {
	if (!/\.tsx?$/.test(url)) return next(url, context);
	const { default: ts } = await import("typescript");
	const { outputText } = ts.transpileModule(readFileSync(fileURLToPath(url), "utf8"), {
		compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, jsx: ts.JsxEmit.ReactJSX },
	});
	return { format: "module", source: outputText, shortCircuit: true };
}
