import type { UseQueryResult } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { type Failure, failureOf } from "../api/client.ts";
import { refresh } from "../api/query.ts";
import { safe } from "../lib/text.ts";
import { lasting, useNow } from "../lib/time.ts";
import { CopyCommand } from "./Copy.tsx";

interface ViewProps<T> {
	of: Pick<UseQueryResult<T, Failure>, "data" | "error" | "isFetching" | "dataUpdatedAt"> & {
		refetch: () => unknown;
	};
	children: (data: T) => ReactNode;
	/** What stands there while nothing has come yet; without it, lines of its height. */
	loading?: ReactNode;
	/** Lines of the skeleton. */
	lines?: number;
	/** Shown instead of an answer that holds nothing. */
	empty?: (data: T) => ReactNode | false | undefined;
}

/** One answer of the API in all its states: loading, error, empty, stale, there. */
export function View<T>({ of, children, loading, lines = 4, empty }: ViewProps<T>) {
	if (of.data === undefined) {
		if (of.error) return <Fault error={of.error} retry={() => void of.refetch()} busy={of.isFetching} />;
		return loading ?? <Skeleton lines={lines} />;
	}
	return (
		<>
			<Stale of={of} />
			{(empty?.(of.data) || false) as ReactNode}
			{!empty?.(of.data) && children(of.data)}
		</>
	);
}

/** Grey lines, drawn only if it takes longer than 150 ms. */
export function Skeleton({ lines = 4, className = "" }: { lines?: number; className?: string }) {
	return (
		<div className={`late ${className}`} role="status" data-state="loading">
			<span className="sr-only">loading</span>
			{Array.from({ length: lines }, (_, i) => (
				<div key={i} className="pulse border-line border-b py-3.5">
					<div className={`h-3.5 bg-wash ${["w-3/4", "w-1/2", "w-2/3", "w-5/6"][i % 4]}`} />
				</div>
			))}
		</div>
	);
}

/** Nothing there: why, and what to do next. */
export function Empty({
	why,
	line,
	note,
	children,
}: {
	why: string;
	line?: string;
	note?: string;
	children?: ReactNode;
}) {
	return (
		<div className="max-w-2xl py-6" data-state="empty">
			<p className="text-lg">{why}</p>
			{children && <div className="mt-2 text-soft">{children}</div>}
			{line && (
				<div className="mt-5">
					<CopyCommand line={line} note={note} />
				</div>
			)}
		</div>
	);
}

/** What went wrong: code, why, what helps, and once more. */
export function Fault({ error, retry, busy = false }: { error: unknown; retry?: () => void; busy?: boolean }) {
	const { problem: p } = failureOf(error);
	return (
		<div className="mt-8 max-w-2xl border-bad border-l-2 py-1 pl-5" role="alert" data-state="error">
			<p className="font-mono text-[0.8125rem] text-bad">error[{safe(p.code, 60)}]</p>
			<p className="mt-1 text-lg">{safe(p.title, 160)}</p>
			{p.why && <p className="mt-1 text-soft">{safe(p.why, 400)}</p>}
			{p.fix.map((f, i) => (
				<div key={i} className="mt-3">
					{f.command ? (
						<CopyCommand line={safe(f.command, 400)} note={f.text && safe(f.text)} />
					) : (
						<p>{safe(f.text ?? "", 400)}</p>
					)}
				</div>
			))}
			<p className="mt-4 flex gap-5">
				{retry && (
					<button type="button" className="link" onClick={retry} disabled={busy}>
						{busy ? "asking again" : "try again"}
					</button>
				)}
				<Link to="/search" className="link">
					search
				</Link>
			</p>
		</div>
	);
}

/** Says how old an answer is that was not renewed for two refreshes. */
function Stale({ of }: { of: { dataUpdatedAt: number; error: unknown; refetch: () => unknown } }) {
	const now = useNow();
	const age = now - of.dataUpdatedAt;
	if (age < 2 * refresh) return null;
	return (
		<p
			className="mb-6 flex flex-wrap gap-x-4 border-warn border-l-2 py-1 pl-4 text-[0.9375rem] text-warn"
			role="status"
			data-state="stale"
		>
			These figures are {lasting(age / 1000, 1)} old: the indexer does not answer.
			<button type="button" className="link" onClick={() => void of.refetch()}>
				ask again
			</button>
		</p>
	);
}

/** Names the sources that an answer lacks. */
export function Partial({ missing }: { missing: string[] }) {
	if (missing.length === 0) return null;
	return (
		<p
			className="mb-6 border-warn border-l-2 py-1 pl-4 text-[0.9375rem] text-warn"
			role="status"
			data-state="partial"
		>
			Not all is here: this index has nothing yet from {missing.join(" and ")}.
		</p>
	);
}

/** The next page of a list. */
export function More({
	of,
}: {
	of: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
}) {
	if (!of.hasNextPage) return null;
	return (
		<p className="py-5">
			<button
				type="button"
				className="link"
				disabled={of.isFetchingNextPage}
				onClick={() => void of.fetchNextPage()}
			>
				{of.isFetchingNextPage ? "loading" : "show more"}
			</button>
		</p>
	);
}
