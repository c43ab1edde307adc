import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { RefObject } from "react";
import type { Origin } from "../api/client.ts";
import { get } from "../api/query.ts";
import { here, named } from "../lib/cli.ts";
import { number } from "../lib/text.ts";
import { moment, utc } from "../lib/time.ts";
import { CopyCommand } from "./Copy.tsx";
import { Panel } from "./floating.tsx";
import { Source, sources } from "./Glyph.tsx";

interface Props {
	anchor: RefObject<HTMLElement | null>;
	origin: Origin;
	word: string;
	check: string | undefined;
	onClose: () => void;
}

/** All that is known about where a figure comes from. */
export default function Evidence({ anchor, origin, word, check, onClose }: Props) {
	const { data } = useQuery(get("/definitions"));
	const params = useParams({ strict: false });
	const d = data?.definitions.find((x) => x.name === word);
	const line = check ?? d?.check;
	const rows: [string, string][] = [];
	if (origin.as_of.at) rows.push(["as of", utc(moment(origin.as_of.at))]);
	if (origin.as_of.slot) rows.push(["as of slot", number(origin.as_of.slot)]);
	rows.push(["over", number(origin.n)]);
	if (origin.since) rows.push(["known since", utc(moment(origin.since))]);
	return (
		<Panel anchor={anchor} title={word} onClose={onClose}>
			{d && <p className="text-soft first-letter:uppercase">{d.means}.</p>}
			<p className="mt-3 flex items-baseline gap-2">
				<Source src={origin.src} /> {sources[origin.src]}
			</p>
			<dl className="mt-2 grid grid-cols-[auto_1fr] gap-x-4 border-line border-t pt-2 tabular-nums">
				{rows.map(([k, v]) => (
					<div key={k} className="col-span-2 grid grid-cols-subgrid">
						<dt className="text-faint">{k}</dt>
						<dd className="text-right">{v}</dd>
					</div>
				))}
			</dl>
			{line && (
				<div className="mt-3">
					<CopyCommand line={here(named(line, params))} note="check it yourself" />
				</div>
			)}
			<p className="mt-3">
				<Link to="/definitions" hash={word.replaceAll(" ", "-")} className="link" onClick={onClose}>
					what the words mean
				</Link>
			</p>
		</Panel>
	);
}
