import { infiniteQueryOptions, QueryClient, type QueryKey, queryOptions } from "@tanstack/react-query";
import type { paths } from "../gen/public.ts";
import { client, Failure, failureOf } from "./client.ts";

/** A page asks again this often, whatever the event stream says. */
export const refresh = 60_000;

export const queries = new QueryClient({
	defaultOptions: {
		queries: {
			staleTime: 15_000,
			gcTime: 10 * 60_000,
			refetchInterval: refresh,
			retry: (n, e) => n < 3 && !(e instanceof Failure && !e.problem.retryable),
			retryDelay: (n, e) => wait(n, e),
			networkMode: "always",
		},
	},
});

function wait(n: number, e: unknown): number {
	const said = e instanceof Failure ? (e.problem.retry_after_s ?? 0) * 1000 : 0;
	return Math.max(said, Math.min(500 * 2 ** n, 8000));
}

type Get = { [P in keyof paths]: paths[P] extends { get: object } ? P : never }[keyof paths];
type Op<P extends Get> = paths[P] extends { get: infer O } ? O : never;
type Answer<P extends Get> =
	Op<P> extends { responses: { 200: { content: { "application/json": infer T } } } } ? T : never;
type Args<P extends Get> =
	Op<P> extends { parameters: infer A }
		? (A extends { path: infer X } ? { path: X } : { path?: never }) &
				(A extends { query?: infer Q } ? { query?: Q } : { query?: never })
		: never;

/** The key begins with the path's template, so that an event can name what it changes. */
export function keyOf(path: string, args: object = {}): QueryKey {
	return [path, args];
}

/** What useQuery and loaders take to read one document of the public API. */
export function get<P extends Get>(path: P, ...[args]: {} extends Args<P> ? [Args<P>?] : [Args<P>]) {
	return queryOptions<Answer<P>, Failure>({
		queryKey: keyOf(path, args),
		queryFn: async ({ signal }) => {
			const got = await ask(path, args, signal);
			return got as Answer<P>;
		},
	});
}

/** What useInfiniteQuery takes to read a list page by page, each from the cursor of the one before. */
export function list<P extends Get>(path: P, ...[args]: {} extends Args<P> ? [Args<P>?] : [Args<P>]) {
	return infiniteQueryOptions<Answer<P>, Failure, Answer<P>[], QueryKey, string>({
		queryKey: [path, "pages", args ?? {}],
		queryFn: async ({ signal, pageParam }) => {
			const query = { limit: 200, ...(args as { query?: object } | undefined)?.query };
			const at = pageParam ? { ...query, cursor: pageParam } : query;
			return (await ask(path, { ...args, query: at }, signal)) as Answer<P>;
		},
		initialPageParam: "",
		getNextPageParam: (last) => (last as { cursor?: string }).cursor || undefined,
		select: (d) => d.pages,
	});
}

async function ask(path: string, args: object | undefined, signal: AbortSignal): Promise<unknown> {
	let got: { data?: unknown; error?: unknown };
	try {
		// The pair of path and arguments is checked where get is called.
		got = await client.GET(path as never, { params: args ?? {}, signal } as never);
	} catch (e) {
		throw failureOf(e);
	}
	if (got.error !== undefined || got.data === undefined) throw failureOf(got.error);
	return got.data;
}
