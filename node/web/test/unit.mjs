// Runs src/**/*.test.ts under node:test, read by Vite as the app's own modules are.
import { readdirSync } from "node:fs";
import { createServer } from "vite";

const all = readdirSync("src", { recursive: true }).map((f) => `src/${f}`);
const server = await createServer({
	server: { middlewareMode: true, ws: false },
	appType: "custom",
	logLevel: "error",
});
for (const f of all.filter((f) => f.endsWith(".test.ts")).sort()) await server.ssrLoadModule(`/${f}`);
await server.close();
