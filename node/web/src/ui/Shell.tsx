import { type ReactNode, useEffect } from "react";

interface ShellProps {
	title: string;
	/** What the head shows instead of the title as it is. */
	head?: ReactNode;
	/** One sentence: what is this. */
	lead?: ReactNode;
	/** A word above the title: what kind of page. */
	kind?: ReactNode;
	aside?: ReactNode;
	/** Beside the whole head, on a wide page. */
	beside?: ReactNode;
	/** Below the lead. */
	below?: ReactNode;
	children: ReactNode;
}

/** A page: its name in the window's title and as the one first heading. */
export function Shell({ title, head, lead, kind, aside, beside, below, children }: ShellProps) {
	useEffect(() => {
		document.title = title === "GPU AI" ? title : `${title} · GPU AI`;
	}, [title]);
	const wide = beside
		? "grid gap-x-16 gap-y-12 lg:grid-cols-[1.1fr_1fr] lg:items-end"
		: "flex flex-wrap items-end justify-between gap-x-10 gap-y-6";
	return (
		<article className="pt-10 pb-24 md:pt-16">
			<header className={wide}>
				<div className="min-w-0 max-w-3xl">
					{kind && <p className="label mb-2">{kind}</p>}
					<h1 className="font-[560] text-4xl leading-[1.05] tracking-[-0.028em] wrap-anywhere md:text-5xl">
						{head ?? title}
					</h1>
					{lead && <p className="mt-5 max-w-[60ch] text-lg text-soft leading-relaxed">{lead}</p>}
					{below}
				</div>
				{aside}
				{beside}
			</header>
			{children}
		</article>
	);
}

interface SectionProps {
	title: string;
	/** A sentence below the title. */
	note?: ReactNode;
	action?: ReactNode;
	children: ReactNode;
	className?: string;
}

/** A part of a page, below a line. */
export function Section({ title, note, action, children, className = "" }: SectionProps) {
	return (
		<section className={`mt-14 border-rule border-t pt-4 md:mt-20 ${className}`} aria-label={title}>
			<div className="mb-6 flex flex-wrap items-baseline justify-between gap-x-8 gap-y-1">
				<div>
					<h2 className="font-[560] text-xl tracking-[-0.015em]">{title}</h2>
					{note && <p className="mt-1 max-w-[66ch] text-[0.9375rem] text-soft">{note}</p>}
				</div>
				{action && <div className="text-[0.9375rem]">{action}</div>}
			</div>
			{children}
		</section>
	);
}

/** Pairs of a word and its value, a line each. */
export function Facts({ of, className = "" }: { of: [string, ReactNode][]; className?: string }) {
	return (
		<dl className={`text-[0.9375rem] ${className}`}>
			{of.map(([k, v]) => (
				<div
					key={k}
					className="flex flex-wrap items-baseline justify-between gap-x-6 border-line border-b py-2.5"
				>
					<dt className="text-faint">{k}</dt>
					<dd className="ml-auto min-w-0 text-right tabular-nums">{v}</dd>
				</div>
			))}
		</dl>
	);
}
