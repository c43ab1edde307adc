import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { parseSearch, type Search, writeSearch } from "./lib/search.ts";
import { Frame, NotFound } from "./ui/Frame.tsx";

// One row for each page; its code is loaded when it is first wanted, or a link to it is pointed at.

const root = createRootRoute({ component: Frame, notFoundComponent: NotFound });

function page<P extends string>(path: P, load: () => Promise<{ Page: () => React.ReactNode }>) {
	return createRoute({
		getParentRoute: () => root,
		path,
		validateSearch: (s: Record<string, unknown>) => s as Search,
		component: lazyRouteComponent(load, "Page"),
	});
}

const tree = root.addChildren([
	page("/", () => import("./routes/home.tsx")),
	page("/gpus", () => import("./routes/gpus.tsx")),
	page("/gpus/$slug", () => import("./routes/gpu.tsx")),
	page("/book/$slug", () => import("./routes/book.tsx")),
	page("/offers", () => import("./routes/offers.tsx")),
	page("/providers", () => import("./routes/providers.tsx")),
	page("/providers/$peer", () => import("./routes/provider.tsx")),
	page("/leases", () => import("./routes/leases.tsx")),
	page("/leases/$id", () => import("./routes/lease.tsx")),
	page("/channels/$addr", () => import("./routes/channel.tsx")),
	page("/wallets/$addr", () => import("./routes/wallet.tsx")),
	page("/network", () => import("./routes/network.tsx")),
	page("/escrow", () => import("./routes/escrow.tsx")),
	page("/search", () => import("./routes/search.tsx")),
	page("/definitions", () => import("./routes/definitions.tsx")),
]);

export const router = createRouter({
	routeTree: tree,
	parseSearch,
	stringifySearch: writeSearch,
	defaultPreload: "intent",
	scrollRestoration: true,
	defaultStructuralSharing: true,
});

declare module "@tanstack/react-router" {
	interface Register {
		router: typeof router;
	}
}
