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
			<PriceIndex />
		</Shell>
	);
}

const method: [string, string][] = [
	[
		"Which leases",
		"Those whose end both sides signed and whose money is settled on the chain: the channel is the one that the lease names, its key signed for the customer, and what it has settled covers the lease.",
	],
	[
		"Not counted",
		"A lease that was paid otherwise than rate, devices and seconds say, by more than a hundredth; and one of a node with itself.",
	],
	[
		"Which hours",
		"A lease weighs its devices times its billed time, spread evenly over the hours (UTC) that it ran in, at most its last 24.",
	],
	[
		"Caps",
		"No payer weighs more than a fiftieth of all, or, where there are fewer than 100 payers, more than twice its equal share. Then the same by payee. Trading more with oneself raises nothing.",
	],
	[
		"Price",
		"The leases by rate: the lowest rate at which half of the capped weight is reached. Whole numbers only, so every indexer gets the same bytes.",
	],
	[
		"What it does not stop",
		"Many paying and many paid addresses of one person. So each price says of how many pairs, payers and payees it is: a price of few is their word.",
	],
];

/** The method of the open price index: docs/price-index.md in short. */
function PriceIndex() {
	return (
		<Section
			title="The price index"
			note="What a device of a model really costs in an hour: the median of what was paid, not of what is asked."
		>
			<ol>
				{method.map(([name, text], i) => (
					<li
						key={name}
						className="grid gap-x-10 gap-y-1 border-line border-b py-4 first:pt-0 md:grid-cols-[11rem_1fr]"
					>
						<h3 className="flex gap-3 font-medium">
							<span className="w-4 text-faint tabular-nums">{i + 1}</span>
							{name}
						</h3>
						<p className="max-w-[66ch] text-soft">{text}</p>
					</li>
				))}
			</ol>
			<div className="mt-6 max-w-2xl">
				<CopyCommand
					line={here("curl /public/v1/gpus/MODEL/cleared")}
					note="the hours of a model, with n, pairs, payers, payees"
				/>
			</div>
		</Section>
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
						className={`grid gap-x-10 gap-y-3 border-line border-b py-5 first:pt-0 md:grid-cols-[11rem_1fr_minmax(0,27rem)] ${hash === id ? "bg-tint shadow-[-1rem_0_var(--color-tint),1rem_0_var(--color-tint)]" : ""}`}
					>
						<dt className="flex items-baseline gap-2 font-medium">
							<Source src={d.src} className="size-2.5" /> {safe(d.name, 40)}
						</dt>
						<dd className="max-w-[60ch] text-soft first-letter:uppercase">{safe(d.means, 600)}.</dd>
						<dd className="min-w-0">
							<CopyCommand line={here(d.check)} />
						</dd>
					</div>
				);
			})}
		</dl>
	);
}
