import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

// What a page shows is in its address, in plain words: ?slug=rtx-4090&sort=-rate. Values are text; a page reads them.

export type Search = Record<string, string | undefined>;

export function parseSearch(text: string): Search {
	return Object.fromEntries(new URLSearchParams(text));
}

export function writeSearch(search: object): string {
	const out = new URLSearchParams();
	for (const [k, v] of Object.entries(search)) {
		if (v !== undefined && v !== null && v !== "") out.set(k, String(v));
	}
	const text = out.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
	return text ? `?${text}` : "";
}

/** The address's words, and a way to change some of them. A change replaces the entry of the history. */
export function useWords(): [Search, (change: Search) => void] {
	const search = useSearch({ strict: false }) as Search;
	const navigate = useNavigate();
	const change = useCallback(
		(c: Search) =>
			void navigate({
				to: ".",
				search: ((old: Search) => ({ ...old, ...c })) as never,
				replace: true,
				resetScroll: false,
			}),
		[navigate],
	);
	return [search, change];
}
