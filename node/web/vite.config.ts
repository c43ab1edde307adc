import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** The text's typeface is asked for together with the styles, not after them. */
const fonts: Plugin = {
	name: "preload-fonts",
	transformIndexHtml: (_html, { bundle }) =>
		Object.keys(bundle ?? {})
			.filter((f) => /hanken.*\.woff2$/.test(f))
			.map((f) => ({
				tag: "link",
				attrs: { rel: "preload", href: `/${f}`, as: "font", type: "font/woff2", crossorigin: "" },
				injectTo: "head-prepend",
			})),
};

// The site's policy (CSP) allows no inline script, no data: address and no other host. An indexer serves it at its root.
export default defineConfig({
	base: "/",
	plugins: [react(), tailwindcss(), fonts],
	build: {
		outDir: "dist",
		emptyOutDir: true,
		target: "es2023",
		cssTarget: ["chrome123", "firefox121", "safari17.5"],
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
		reportCompressedSize: true,
	},
	server: { proxy: { "/public": process.env.GPUAI_INDEXER ?? "http://127.0.0.1:8080" } },
});
