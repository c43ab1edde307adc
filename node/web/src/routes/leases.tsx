import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { list } from "../api/query.ts";
import { useWords } from "../lib/search.ts";
import { safe, short } from "../lib/text.ts";
import { DataTable } from "../ui/DataTable.tsx";
import { leaseColumns } from "../ui/leases.tsx";
import { Shell } from "../ui/Shell.tsx";
import { Empty, More, View } from "../ui/State.tsx";

const filters = ["slug", "provider", "customer", "wallet", "channel"] as const;

export function Page() {
	const [words, change] = useWords();
	const query = Object.fromEntries(filters.flatMap((f) => (words[f] ? [[f, words[f]]] : [])));
	const q = useInfiniteQuery(list("/leases", { query }));
	const columns = useMemo(() => leaseColumns(), []);
	return (
		<Shell
			title="Leases"
			lead="What was leased, as both sides signed it at the end. A lease counts as settled once the chain covers its money. Either side may keep a lease to itself; then it is not here."
		>
			<Filters of={query} drop={(f) => change({ [f]: undefined })} />
			<div className="mt-10">
				<View
					of={q}
					lines={8}
					empty={(d) =>
						d.every((p) => p.leases.length === 0) && (
							<Empty
								why={Object.keys(query).length ? "No lease fits this." : "No lease has been told yet."}
								line="gpuai run --gpu rtx-4090 --max-total 0.02 IMAGE -- COMMAND"
								note="the first one could be yours"
							/>
						)
					}
				>
					{(d) => (
						<DataTable
							caption="leases, newest first"
							rows={d.flatMap((p) => p.leases)}
							columns={columns}
							noun={["lease", "leases"]}
							rowKey={(l) => `${l.lease} ${l.provider} ${l.customer}`}
							filter
							file="leases"
							more={<More of={q} />}
						/>
					)}
				</View>
			</div>
		</Shell>
	);
}

/** What the list is narrowed to, with a way back. */
function Filters({ of, drop }: { of: Record<string, string | undefined>; drop: (f: string) => void }) {
	const set = Object.entries(of);
	if (set.length === 0) return null;
	return (
		<ul className="mt-8 flex flex-wrap gap-3 text-[0.9375rem]">
			{set.map(([f, v]) => (
				<li key={f} className="flex items-baseline gap-2 border border-line px-3 py-1">
					<span className="text-faint">{f}</span> {f === "slug" ? safe(v ?? "", 40) : short(v ?? "")}
					<button type="button" className="link" onClick={() => drop(f)} aria-label={`of any ${f}`}>
						any
					</button>
				</li>
			))}
		</ul>
	);
}
