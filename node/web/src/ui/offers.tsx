import { Link } from "@tanstack/react-router";
import type { Offer } from "../api/types.ts";
import { approx } from "../lib/money.ts";
import { bytes, safe } from "../lib/text.ts";
import type { Column } from "./DataTable.tsx";
import { Dash } from "./Figure.tsx";
import { Id, Money, Time } from "./Value.tsx";

const size = (of: number | undefined, what: string) => (of ? bytes(of) : <Dash what={what} />);

/** The columns of `gpuai offers`, and what this indexer saw of the rig. */
export function offerColumns({ model }: { model: boolean }): Column<Offer>[] {
	const all: (Column<Offer> | false)[] = [
		{
			id: "provider",
			head: "Provider",
			lead: !model,
			text: (o) => o.peer,
			cell: (o) => <Id id={o.peer} to="/providers/$peer" params={{ peer: o.peer }} copy={false} />,
		},
		model && {
			id: "model",
			head: "Model",
			lead: true,
			sort: (o) => o.slug,
			text: (o) => o.slug,
			cell: (o) => (
				<Link
					to="/gpus/$slug"
					params={{ slug: o.slug }}
					className="font-medium hover:underline"
					title={safe(o.name, 80)}
				>
					{o.slug}
				</Link>
			),
		},
		{
			id: "country",
			head: "Country",
			sort: (o) => o.country,
			text: (o) => o.country,
			cell: (o) => (o.country ? safe(o.country, 4) : <Dash what="country" />),
		},
		{
			id: "free",
			head: "Free",
			right: true,
			sort: (o) => o.free,
			text: (o) => o.free,
			cell: (o) => (
				<>
					{o.free} <span className="text-faint">of {o.devices}</span>
				</>
			),
		},
		{
			id: "rate",
			head: "Rate",
			unit: "SOL/h",
			right: true,
			sort: (o) => o.rate && approx(o.rate),
			text: (o) => o.rate && approx(o.rate),
			cell: (o) => <Money of={o.rate} places={6} bare />,
		},
		{
			id: "vram",
			head: "VRAM",
			right: true,
			sort: (o) => o.vram_bytes,
			text: (o) => o.vram_bytes,
			cell: (o) => size(o.vram_bytes, "VRAM"),
		},
		{
			id: "cores",
			head: "Cores",
			right: true,
			sort: (o) => o.cpu_milli,
			text: (o) => o.cpu_milli && o.cpu_milli / 1000,
			cell: (o) => (o.cpu_milli ? o.cpu_milli / 1000 : <Dash what="cores" />),
		},
		{
			id: "memory",
			head: "Memory",
			right: true,
			sort: (o) => o.ram_bytes,
			text: (o) => o.ram_bytes,
			cell: (o) => size(o.ram_bytes, "memory"),
		},
		{
			id: "disk",
			head: "Disk",
			right: true,
			sort: (o) => o.disk_bytes,
			text: (o) => o.disk_bytes,
			cell: (o) => size(o.disk_bytes, "disk"),
		},
		{
			id: "reached",
			head: "Reached",
			right: true,
			sort: (o) => o.reached_at && Date.parse(o.reached_at),
			text: (o) => o.reached_at,
			cell: (o) => <Time at={o.reached_at} />,
		},
	];
	return all.filter((c) => c !== false);
}
