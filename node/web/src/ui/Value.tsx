import { Link, type LinkProps } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Money as Amount } from "../api/client.ts";
import { amount, digits, unit } from "../lib/money.ts";
import { safe, short } from "../lib/text.ts";
import { ago, moment, useNow, utc } from "../lib/time.ts";
import { CopyButton } from "./Copy.tsx";
import { Dash } from "./Figure.tsx";
import { Tooltip } from "./Tooltip.tsx";

interface MoneyProps {
	of: Amount | undefined;
	/** So many places behind the point are kept free, so that a column's points stand below one another: grey zeros. */
	places?: number;
	/** Leave the symbol out, where a column's head says it. */
	bare?: boolean;
	/** The figure of its page: what matters little is small, too. */
	big?: boolean;
	className?: string;
}

/** How many digits behind the point are read at a glance: four, or three that count. */
function weighty(whole: string, part: string): number {
	const zeros = whole === "0" ? (/^0*/.exec(part)?.[0].length ?? 0) : 0;
	return Math.max(4, zeros + 3);
}

/** An amount, exact: what is too small to matter, and what only fills its column, is grey. */
export function Money({ of, places = 0, bare = false, big = false, className = "" }: MoneyProps) {
	const d = of && digits(of);
	if (!of || !d) return <Dash className={className} />;
	const cut = weighty(d.whole, d.part);
	const fill = Math.max(0, places - d.part.length);
	return (
		<data value={of.amount} className={`whitespace-nowrap ${className}`}>
			{d.sign}
			{d.whole}
			{d.part && `.${d.part.slice(0, cut)}`}
			<span className={`text-faint ${big ? "text-[0.45em] tracking-normal" : ""}`}>{d.part.slice(cut)}</span>
			{fill > 0 && (
				<span className="select-none text-faint" aria-hidden="true">
					{d.part ? "" : "."}
					{"0".repeat(fill)}
				</span>
			)}
			{bare ? (
				<span className="sr-only"> {unit(of)}</span>
			) : (
				<span className={`text-faint ${big ? "text-[0.45em] tracking-normal" : "text-[0.85em]"}`}>
					{" "}
					{unit(of)}
				</span>
			)}
		</data>
	);
}

/** An amount as a sentence has it: "0.0024 SOL/h". */
export function moneyText(of: Amount | undefined): string {
	return of ? `${amount(of)} ${unit(of)}` : "—";
}

/** A moment of the API, in words; its full date beside it on demand. */
export function Time({ at, className = "" }: { at: string | undefined; className?: string }) {
	const now = useNow();
	const ms = at ? moment(at) : Number.NaN;
	if (!at || Number.isNaN(ms)) return <Dash className={className} />;
	return (
		<Tooltip text={utc(ms)} className={`whitespace-nowrap ${className}`}>
			<time dateTime={at}>{ago(ms, now)}</time>
		</Tooltip>
	);
}

interface IdProps {
	id: string | undefined;
	to?: LinkProps["to"];
	params?: Record<string, string>;
	/** Show all of it. */
	full?: boolean;
	className?: string;
	copy?: boolean;
}

/** A name that only machines chose: its ends, all of it on demand, and a way to copy it. */
export function Id({ id, to, params, full = false, copy = true, className = "" }: IdProps) {
	if (!id) return <Dash className={className} />;
	const shown: ReactNode = full ? <span className="wrap-anywhere">{safe(id, 256)}</span> : short(id);
	const text = <span className="font-mono text-[0.8125em]">{shown}</span>;
	return (
		<span className={`inline-flex items-center ${full ? "" : "whitespace-nowrap"} ${className}`}>
			<Tooltip text={safe(id, 256)}>
				{to ? (
					<Link to={to} params={(params ?? {}) as never} className="link inline-block py-0.5">
						{text}
					</Link>
				) : (
					text
				)}
			</Tooltip>
			{copy && <CopyButton text={id} what={`copy ${short(id)}`} />}
		</span>
	);
}

/** Text that a peer chose. */
export function Peer({ text, most = 80 }: { text: string | undefined; most?: number }) {
	return text ? <bdi>{safe(text, most)}</bdi> : <Dash />;
}
