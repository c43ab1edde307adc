import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { list } from "../api/query.ts";
import { asksOf, type Model } from "../api/types.ts";
import { approx } from "../lib/money.ts";
import { type Column, DataTable } from "../ui/DataTable.tsx";
import { Dash, Figure } from "../ui/Figure.tsx";
import { Shell } from "../ui/Shell.tsx";
import { Range, Share } from "../ui/Spark.tsx";
import { Empty, More, View } from "../ui/State.tsx";
import { Money } from "../ui/Value.tsx";

export function Page() {
	const q = useInfiniteQuery(list("/gpus"));
	return (
		<Shell
			title="Models"
			lead="Every model that somebody sells, with what is free and what it costs. A model has the name that was measured on the machine, in small letters; the same word works on the command line."
		>
			<div className="mt-12">
				<View
					of={q}
					lines={8}
					empty={(d) =>
						d.every((p) => p.models.length === 0) && (
							<Empty why="Nobody sells a GPU here yet." line="gpuai provider setup" note="Be the first" />
						)
					}
				>
					{(d) => <Models of={d.flatMap((p) => p.models)} more={<More of={q} />} />}
				</View>
			</div>
		</Shell>
	);
}

const price = (m: Model, of: "low" | "p10" | "median" | "p90") => {
	const band = asksOf(m)?.value;
	return band ? approx(band[of]) : undefined;
};

function Models({ of, more }: { of: Model[]; more: React.ReactNode }) {
	const columns = useMemo(() => columnsOf(of), [of]);
	return (
		<DataTable
			caption="models on sale"
			rows={of}
			columns={columns}
			noun={["model", "models"]}
			rowKey={(m) => m.slug}
			sort="-free"
			filter
			file="models"
			more={more}
		/>
	);
}

function columnsOf(of: Model[]): Column<Model>[] {
	const all = of.flatMap((m) => [price(m, "p10"), price(m, "p90")]).filter((v) => v !== undefined);
	const [from, to] = [Math.min(...all), Math.max(...all)];
	return [
		{
			id: "model",
			head: "Model",
			lead: true,
			sort: (m) => m.slug,
			text: (m) => m.slug,
			cell: (m) => (
				<Link to="/gpus/$slug" params={{ slug: m.slug }} className="font-medium hover:underline">
					{m.slug}
				</Link>
			),
		},
		{
			id: "free",
			head: "Free",
			right: true,
			sort: (m) => m.gpus.free.value,
			text: (m) => m.gpus.free.value,
			cell: (m) => (
				<span className="inline-flex items-baseline gap-3">
					<Share part={m.gpus.free.value} of={m.gpus.announced.value} className="w-14 max-lg:hidden" />
					<Figure of={m.gpus.free} word="free" bare className="min-w-9 justify-end" />
				</span>
			),
		},
		{
			id: "announced",
			head: "Announced",
			right: true,
			sort: (m) => m.gpus.announced.value,
			text: (m) => m.gpus.announced.value,
			cell: (m) => <Figure of={m.gpus.announced} word="announced" bare />,
		},
		{
			id: "reachable",
			head: "Reachable",
			right: true,
			sort: (m) => m.gpus.reachable.value,
			text: (m) => m.gpus.reachable.value,
			cell: (m) => <Figure of={m.gpus.reachable} word="reachable" bare />,
		},
		{
			id: "leased",
			head: "Leased",
			right: true,
			sort: (m) => m.gpus.leased.value,
			text: (m) => m.gpus.leased.value,
			cell: (m) => <Figure of={m.gpus.leased} word="leased" bare />,
		},
		{
			id: "low",
			head: "Lowest",
			unit: "SOL/h",
			right: true,
			sort: (m) => price(m, "low"),
			text: (m) => price(m, "low"),
			cell: (m) => <Money of={asksOf(m)?.value.low} places={6} bare />,
		},
		{
			id: "median",
			head: "Median",
			unit: "SOL/h",
			right: true,
			sort: (m) => price(m, "median"),
			text: (m) => price(m, "median"),
			cell: (m) => <Money of={asksOf(m)?.value.median} places={6} bare />,
		},
		{
			id: "band",
			head: "p10 to p90",
			right: true,
			wide: true,
			cell: (m) => {
				const [low, mid, high] = [price(m, "p10"), price(m, "median"), price(m, "p90")];
				if (low === undefined || mid === undefined || high === undefined) return <Dash what="price band" />;
				return <Range low={low} mid={mid} high={high} from={from} to={to} />;
			},
		},
	];
}
