import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { get } from "../api/query.ts";
import { onLedger } from "../lib/cli.ts";
import { Icon } from "./Glyph.tsx";

/** Puts a text into the clipboard, and says so to eyes and ears. */
export function CopyButton({
	text,
	what = "copy",
	className = "",
}: {
	text: string;
	what?: string;
	className?: string;
}) {
	const [state, setState] = useState<"" | "copied" | "failed">("");
	useEffect(() => {
		if (!state) return;
		const t = setTimeout(() => setState(""), 1600);
		return () => clearTimeout(t);
	}, [state]);
	const copy = () =>
		navigator.clipboard?.writeText(text).then(
			() => setState("copied"),
			() => setState("failed"),
		) ?? setState("failed");
	return (
		<button
			type="button"
			onClick={copy}
			aria-label={what}
			title={what}
			className={`inline-grid size-7 shrink-0 place-items-center rounded text-faint hover:text-ink ${className}`}
		>
			<Icon
				of={state === "copied" ? "done" : "copy"}
				className={`size-4 ${state === "copied" ? "text-accent" : ""}`}
			/>
			<span role="status" className="sr-only">
				{state === "failed" ? "could not copy" : state}
			</span>
		</button>
	);
}

/** A command line to take along. It wraps where it is narrow; what is copied is one line. */
export function CopyCommand({ line: told, note }: { line: string; note?: string | undefined }) {
	const ledger = useQuery({ ...get("/summary"), enabled: told.startsWith("solana ") });
	const line = onLedger(told, ledger.data?.network);
	return (
		<figure className="min-w-0">
			{note && <figcaption className="label mb-1">{note}</figcaption>}
			<div className="flex items-start gap-2 border-l-2 border-accent bg-wash py-2 pr-2 pl-3">
				<code className="min-w-0 flex-1 font-mono text-[0.8125rem] leading-6 wrap-anywhere">
					<span className="select-none text-faint" aria-hidden="true">
						${" "}
					</span>
					{line}
				</code>
				<CopyButton text={line} what={`copy: ${line}`} className="-my-0.5" />
			</div>
		</figure>
	);
}
