import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { get, queries } from "./api/query.ts";
import { parseSearch, type Search, writeSearch } from "./lib/search.ts";
import { asked } from "./lib/span.ts";
import { Away, Broken, Frame, NotFound } from "./ui/Frame.tsx";

// One row for each page; its code is loaded when it is first wanted, or a link to it is pointed at.

const root = createRootRoute({ component: Frame, notFoundComponent: NotFound });

type Params = Record<string, string>;

/**
 * The code of a page did not come. Where the indexer has another app by now, the router reloads; where it does not
 * answer, a reload would leave nothing but the browser's own page.
 */
async function lost(e: unknown): Promise<never> {
	const there = await fetch("/theme.js", { cache: "no-store" }).then(
		(r) => r.ok,
		() => false,
	);
	throw there ? e : new Away();
}

/** A page, and what it reads first: that is asked for while its code is on its way. */
function page<P extends string>(
	path: P,
	load: () => Promise<{ Page: () => React.ReactNode }>,
	reads?: (p: Params) => object[],
) {
	return createRoute({
		getParentRoute: () => root,
		path,
		validateSearch: (s: Record<string, unknown>) => s as Search,
		component: lazyRouteComponent(() => load().catch(lost), "Page"),
		loader: ({ params }) => {
			for (const q of reads?.(params as Params) ?? []) void queries.prefetchQuery(q as never);
		},
	});
}

const tree = root.addChildren([
	page(
		"/",
		() => import("./routes/home.tsx"),
		() => [get("/summary")],
	),
	page("/gpus", () => import("./routes/gpus.tsx")),
	page(
		"/gpus/$slug",
		() => import("./routes/gpu.tsx"),
		({ slug = "" }) => [
			get("/gpus/{slug}", { path: { slug } }),
			get("/gpus/{slug}/prices", { path: { slug }, query: asked("7") }),
		],
	),
	page(
		"/book/$slug",
		() => import("./routes/book.tsx"),
		({ slug = "" }) => [get("/book/{slug}", { path: { slug } })],
	),
	page("/offers", () => import("./routes/offers.tsx")),
	page("/providers", () => import("./routes/providers.tsx")),
	page(
		"/providers/$peer",
		() => import("./routes/provider.tsx"),
		({ peer = "" }) => [get("/providers/{peer}", { path: { peer } })],
	),
	page("/leases", () => import("./routes/leases.tsx")),
	page(
		"/leases/$id",
		() => import("./routes/lease.tsx"),
		({ id = "" }) => [get("/leases/{id}", { path: { id } })],
	),
	page(
		"/channels/$addr",
		() => import("./routes/channel.tsx"),
		({ addr = "" }) => [get("/channels/{addr}", { path: { addr } })],
	),
	page("/wallets/$addr", () => import("./routes/wallet.tsx")),
	page(
		"/network",
		() => import("./routes/network.tsx"),
		() => [get("/network")],
	),
	page(
		"/escrow",
		() => import("./routes/escrow.tsx"),
		() => [get("/escrow")],
	),
	page("/search", () => import("./routes/search.tsx")),
	page(
		"/definitions",
		() => import("./routes/definitions.tsx"),
		() => [get("/definitions")],
	),
]);

export const router = createRouter({
	routeTree: tree,
	parseSearch,
	stringifySearch: writeSearch,
	defaultPreload: "intent",
	defaultErrorComponent: Broken,
	scrollRestoration: true,
	defaultStructuralSharing: true,
});

declare module "@tanstack/react-router" {
	interface Register {
		router: typeof router;
	}
}
