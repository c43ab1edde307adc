import createClient from "openapi-fetch";
import type { components, paths } from "../gen/public.ts";

export const base = "/public/v1";

export type Schemas = components["schemas"];
export type Money = Schemas["Money"];
export type Problem = Schemas["Problem"];

/** Where a figure comes from, as each answer says it. */
export interface Origin {
	src: "chain" | "gossip" | "probe" | "signed";
	as_of: { slot?: number; at?: string };
	n: number;
	since?: string;
}

/** A number of things with its origin. */
export interface Count extends Origin {
	value: number;
}

/** Only GET is asked for, so the browser keeps answers by their ETag: what has not changed costs a 304. */
export const client = createClient<paths>({ baseUrl: base });

/** An error document of the API, or what stands for one where no answer came. */
export class Failure extends Error {
	readonly problem: Problem;
	constructor(problem: Problem) {
		super(problem.title);
		this.problem = problem;
	}
	get missing(): boolean {
		return this.problem.status === 404;
	}
}

/** No answer: the indexer is away, or something between. */
export function unreachable(why: string): Failure {
	return new Failure({
		type: "about:blank",
		title: "the indexer does not answer",
		status: 503,
		code: "indexer-unreachable",
		why,
		fix: [{ text: "This page tries again by itself. Is the indexer up?", command: "gpuai indexer run" }],
		fault: "network",
		retryable: true,
	});
}

function isProblem(v: unknown): v is Problem {
	return typeof v === "object" && v !== null && "code" in v && "title" in v && "fix" in v;
}

/** What went wrong, as a Failure. */
export function failureOf(error: unknown): Failure {
	if (error instanceof Failure) return error;
	if (isProblem(error)) return new Failure(error);
	return unreachable(`nothing that this page understands came from ${location.host}`);
}
