import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouter, useRouterState } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { base } from "../api/client.ts";
import { stream } from "../api/events.ts";
import { get } from "../api/query.ts";
import { safe } from "../lib/text.ts";
import { type Theme, useUI } from "../lib/ui.ts";
import { Icon, Mark } from "./Glyph.tsx";
import { Shell } from "./Shell.tsx";

const areas = [
	["/gpus", "Models"],
	["/offers", "Offers"],
	["/providers", "Providers"],
	["/leases", "Leases"],
	["/escrow", "Escrow"],
	["/network", "Network"],
] as const;

/** What surrounds each page. */
export function Frame() {
	return (
		<div className="mx-auto flex min-h-dvh max-w-[78rem] flex-col px-5 md:px-10">
			<a
				href="#main"
				className="sr-only focus:not-sr-only focus:absolute focus:top-2 focus:left-2 focus:bg-raise focus:p-2"
			>
				to the content
			</a>
			<Top />
			<main id="main" className="flex-1" tabIndex={-1}>
				<Outlet />
			</main>
			<Foot />
		</div>
	);
}

function Top() {
	const [open, setOpen] = useState(false);
	const path = useRouterState({ select: (s) => s.location.pathname });
	useEffect(() => setOpen(false), [path]);
	return (
		<header className="flex flex-wrap items-center gap-x-4 border-line md:gap-x-8 border-b py-3.5">
			<Link to="/" className="flex items-center gap-2.5" aria-label="GPU AI, home">
				<Mark className="size-5 text-accent" />
				<span className="font-semibold tracking-[-0.01em]">GPU AI</span>
			</Link>
			<button
				type="button"
				className="order-3 -mr-2 ml-2 grid size-9 place-items-center lg:hidden"
				aria-expanded={open}
				aria-controls="areas"
				aria-label="menu"
				onClick={() => setOpen(!open)}
			>
				<Icon of={open ? "close" : "menu"} className="size-5" />
			</button>
			<nav
				id="areas"
				aria-label="areas"
				className={`order-4 w-full flex-wrap gap-x-7 gap-y-3 text-[0.9375rem] max-lg:pt-4 max-lg:pb-2 lg:order-2 lg:flex lg:w-auto ${open ? "flex" : "hidden"}`}
			>
				{areas.map(([to, name]) => (
					<Link
						key={to}
						to={to}
						className="text-soft hover:text-ink"
						activeProps={{
							className: "text-ink! underline decoration-accent decoration-2 underline-offset-[0.5em]",
						}}
					>
						{name}
					</Link>
				))}
			</nav>
			<Box />
		</header>
	);
}

/** The one search box; "/" puts the cursor into it. */
function Box() {
	const ref = useRef<HTMLInputElement>(null);
	const navigate = useNavigate();
	useEffect(() => {
		const focus = (e: KeyboardEvent) => {
			const at = e.target as HTMLElement;
			if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName))
				return;
			e.preventDefault();
			const own = document.querySelector<HTMLInputElement>("main input[data-search]");
			(own ?? ref.current)?.focus();
		};
		addEventListener("keydown", focus);
		return () => removeEventListener("keydown", focus);
	}, []);
	const go = (e: FormEvent) => {
		e.preventDefault();
		const q = ref.current?.value.trim();
		void navigate({ to: "/search", search: q ? { q } : {} });
	};
	return (
		<form onSubmit={go} className="order-3 ml-auto flex min-w-0 items-center gap-2 max-lg:order-2" action="/search">
			<Icon of="search" className="size-4 text-faint" />
			<input
				ref={ref}
				name="q"
				type="search"
				maxLength={100}
				placeholder="Search"
				aria-label="search for a model, peer, wallet, lease or transaction"
				aria-keyshortcuts="/"
				className="w-28 min-w-0 border-transparent border-b bg-transparent py-1 text-[0.9375rem] placeholder:text-faint hover:border-line focus:border-line sm:w-44"
			/>
			<kbd className="hidden border border-line px-1.5 font-sans text-2xs text-faint md:block">/</kbd>
		</form>
	);
}

function Foot() {
	const { data } = useQuery(get("/summary"));
	const live = useSyncExternalStore(stream.subscribe, stream.live);
	// A page has the path of what it reads.
	const source = useRouterState({
		select: ({ location: l }) =>
			base + (l.pathname === "/" ? "/summary" : l.pathname) + (l.pathname === "/search" ? l.searchStr : ""),
	});
	return (
		<footer className="border-line border-t py-8 text-[0.875rem] text-faint">
			<div className="flex flex-wrap items-center gap-x-7 gap-y-3">
				{data && <span>{safe(data.network, 40)}</span>}
				<span className="flex items-center gap-2" role="status">
					<span className={`size-1.5 rounded-full ${live ? "bg-accent" : "bg-faint"}`} />
					{live ? "live" : "asks once a minute"}
				</span>
				<Link to="/definitions" className="hover:text-ink">
					What the words mean
				</Link>
				<a href={source} className="hover:text-ink">
					This page as JSON
				</a>
				<ThemeChoice />
			</div>
			<p className="mt-4 max-w-[66ch]">
				An indexer's view: signed documents, its own probes, and the chain. Nobody takes money or trust
				decisions from it. Run your own and compare:{" "}
				<code className="font-mono text-[0.8125rem]">gpuai indexer run</code>
			</p>
		</footer>
	);
}

const themes: [Theme, "system" | "sun" | "moon"][] = [
	["system", "system"],
	["light", "sun"],
	["dark", "moon"],
];

function ThemeChoice() {
	const { theme, setTheme } = useUI();
	return (
		<fieldset className="ml-auto flex gap-1">
			<legend className="sr-only">theme</legend>
			{themes.map(([t, icon]) => (
				<button
					key={t}
					type="button"
					aria-pressed={theme === t}
					aria-label={`theme: ${t}`}
					title={t}
					onClick={() => setTheme(t)}
					className={`grid size-8 place-items-center ${theme === t ? "text-ink" : "hover:text-ink"}`}
				>
					<Icon of={icon} />
				</button>
			))}
		</fieldset>
	);
}

export function NotFound() {
	return (
		<Shell
			title="Nothing here"
			lead="No page has this address. Look for a model, a provider, a wallet or a lease by the beginning of its name."
		>
			<p className="mt-8 flex gap-6">
				<Link to="/search" className="link">
					Search
				</Link>
				<Link to="/" className="link">
					The market
				</Link>
			</p>
		</Shell>
	);
}

/** The indexer does not answer, and the code of a page is still with it. */
export class Away extends Error {
	constructor() {
		super("the indexer does not answer");
	}
}

/** A page that could not be drawn: an answer of a form that this app does not know, most likely. The frame stays. */
export function Broken({ error, reset }: { error: unknown; reset: () => void }) {
	const router = useRouter();
	return (
		<Shell
			title="This page cannot be drawn"
			lead={
				error instanceof Away
					? "It was not looked at before, and its code is with the indexer. What you saw is still there: go back, or try again."
					: "The indexer may be newer than the page that your browser holds. A reload brings the new one."
			}
		>
			<div className="mt-8 max-w-2xl border-bad border-l-2 py-1 pl-5" role="alert" data-state="error">
				<p className="font-mono text-[0.8125rem] text-bad">
					{safe(error instanceof Error ? error.message : "unknown", 300)}
				</p>
				<p className="mt-3 flex gap-5">
					<button type="button" className="link" onClick={() => location.reload()}>
						reload
					</button>
					<button type="button" className="link" onClick={() => void router.invalidate().then(reset)}>
						try again
					</button>
				</p>
			</div>
		</Shell>
	);
}
