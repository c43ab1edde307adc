import { useQuery } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import { useEffect } from "react";
import type { Origin, Schemas } from "../api/client.ts";
import { get } from "../api/query.ts";
import { here } from "../lib/cli.ts";
import { safe } from "../lib/text.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { Source, sources } from "../ui/Glyph.tsx";
import { Section, Shell } from "../ui/Shell.tsx";
import { View } from "../ui/State.tsx";

const kinds: [Origin["src"], string][] = [
	[
		"chain",
		"Accounts and instructions of the escrow program at finality. Anybody can read the same ones from any node of Solana.",
	],
	["signed", "Documents that carry the signatures of both sides. Your browser checks them on the page of a lease."],
	["probe", "This indexer dialled the rig and it answered. Another indexer, elsewhere, may see it otherwise."],
	["gossip", "What a provider said in a signed Offer. The signature shows who said it, not that it is true."],
];

export function Page() {
	const q = useQuery(get("/definitions"));
	return (
		<Shell
			title="What the words mean"
			lead="Each figure of this site has one word, each word one meaning, and each meaning a line that checks it. What is not known is a dash, never a nought."
		>
			<Section
				title="Where figures come from"
				note="The shape beside a figure is its source, the strongest first: filled shapes are evidence, the empty ring is only said."
			>
				<dl className="grid gap-x-12 gap-y-6 sm:grid-cols-2 lg:grid-cols-4">
					{kinds.map(([src, text]) => (
						<div key={src}>
							<dt className="flex items-baseline gap-2 font-medium">
								<Source src={src} className="size-2.5" /> {sources[src]}
							</dt>
							<dd className="mt-1 text-[0.9375rem] text-soft">{text}</dd>
						</div>
					))}
				</dl>
			</Section>
			<Section title="Words">
				<View of={q} lines={10}>
					{(d) => <Words of={d.definitions} />}
				</View>
			</Section>
		</Shell>
	);
}

function Words({ of }: { of: readonly Schemas["Definition"][] }) {
	const { hash } = useLocation();
	useEffect(() => {
		if (hash) document.getElementById(hash)?.scrollIntoView({ block: "center" });
	}, [hash]);
	return (
		<dl>
			{of.map((d) => {
				const id = d.name.replaceAll(" ", "-");
				return (
					<div
						key={d.name}
						id={id}
						className={`grid gap-x-10 gap-y-3 border-line border-b py-5 first:pt-0 md:grid-cols-[11rem_1fr_minmax(0,22rem)] ${hash === id ? "bg-tint shadow-[-1rem_0_var(--color-tint),1rem_0_var(--color-tint)]" : ""}`}
					>
						<dt className="flex items-baseline gap-2 font-medium">
							<Source src={d.src} className="size-2.5" /> {safe(d.name, 40)}
						</dt>
						<dd className="max-w-[60ch] text-soft">{safe(d.means, 600)}.</dd>
						<dd className="min-w-0">
							<CopyCommand line={here(d.check)} />
						</dd>
					</div>
				);
			})}
		</dl>
	);
}
