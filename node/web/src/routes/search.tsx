import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import type { Schemas } from "../api/client.ts";
import { get } from "../api/query.ts";
import { useWords } from "../lib/search.ts";
import { safe } from "../lib/text.ts";
import { Icon } from "../ui/Glyph.tsx";
import { Shell } from "../ui/Shell.tsx";
import { Empty, View } from "../ui/State.tsx";

type Hit = Schemas["Hit"];

const kinds: Record<string, string> = {
	model: "Models",
	provider: "Providers",
	lease: "Leases",
	channel: "Channels",
	wallet: "Wallets",
	transaction: "Transactions",
};

export function Page() {
	const [words, change] = useWords();
	const q = (words.q ?? "").trim().slice(0, 100);
	const [text, setText] = useState(q);
	const ref = useRef<HTMLInputElement>(null);
	useEffect(() => setText(q), [q]);
	useEffect(() => ref.current?.focus(), []);
	useEffect(() => {
		if (text.trim() === q) return;
		const t = setTimeout(() => change({ q: text.trim() || undefined }), 250);
		return () => clearTimeout(t);
	}, [text, q, change]);
	return (
		<Shell
			title="Search"
			lead="The beginning of a model's name, a peer, a wallet, a channel, a lease or a transaction."
		>
			<search className="mt-8 flex items-center gap-3 border-rule border-b pb-2">
				<Icon of="search" className="size-5 text-faint" />
				<input
					ref={ref}
					data-search
					type="search"
					value={text}
					maxLength={100}
					spellCheck={false}
					autoComplete="off"
					placeholder="rtx-40, 12D3Koo…, 9aF5…"
					aria-label="search"
					onChange={(e) => setText(e.target.value)}
					className="min-w-0 flex-1 bg-transparent py-1 text-xl outline-none placeholder:text-faint"
				/>
			</search>
			{q ? <Results q={q} /> : <p className="mt-6 text-soft">On every page, the key / brings you to this box.</p>}
		</Shell>
	);
}

function Results({ q }: { q: string }) {
	const found = useQuery({
		...get("/search", { query: { q } }),
		placeholderData: keepPreviousData,
		refetchInterval: false,
	});
	return (
		<div className="mt-8">
			<View
				of={found}
				lines={4}
				empty={(d) =>
					d.found.length === 0 && (
						<Empty
							why={`Nothing here begins with “${safe(q, 60)}”.`}
							line="gpuai indexer run"
							note="Another index may know more: run your own"
						>
							Names are looked up from their first letter on, and ids as they are written, small and large
							letters apart.
						</Empty>
					)
				}
			>
				{(d) => <Hits of={d.found} />}
			</View>
		</div>
	);
}

function Hits({ of }: { of: readonly Hit[] }) {
	const groups = [...new Set(of.map((h) => h.kind as string))];
	return groups.map((kind) => (
		<section key={kind} className="grid gap-x-8 gap-y-1 border-line border-t py-5 md:grid-cols-[10rem_1fr]">
			<h2 className="label">{kinds[kind] ?? safe(kind, 20)}</h2>
			<ul>
				{of
					.filter((h) => h.kind === kind)
					.map((h) => (
						<li key={h.id} className="min-w-0 py-1">
							<HitLink of={h} />
						</li>
					))}
			</ul>
		</section>
	));
}

/** Leads only to pages of this site: the kind says to which, never the answer's own path. */
function HitLink({ of: h }: { of: Hit }) {
	const text = (
		<span className={h.kind === "model" ? "font-medium" : "font-mono text-[0.875rem] wrap-anywhere"}>
			{safe(h.id, 200)}
		</span>
	);
	switch (h.kind as string) {
		case "model":
			return <Link to="/gpus/$slug" params={{ slug: h.id }} className="link" children={text} />;
		case "provider":
			return <Link to="/providers/$peer" params={{ peer: h.id }} className="link" children={text} />;
		case "lease":
			return <Link to="/leases/$id" params={{ id: h.id }} className="link" children={text} />;
		case "channel":
			return <Link to="/channels/$addr" params={{ addr: h.id }} className="link" children={text} />;
		case "wallet":
			return <Link to="/wallets/$addr" params={{ addr: h.id }} className="link" children={text} />;
	}
	return text;
}
