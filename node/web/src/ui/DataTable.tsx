import {
	createSortedRowModel,
	type Row,
	rowSortingFeature,
	type SortingState,
	tableFeatures,
	useTable,
} from "@tanstack/react-table";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, useMemo, useRef } from "react";
import { csv, download } from "../lib/csv.ts";
import { useWords } from "../lib/search.ts";
import { count, safe } from "../lib/text.ts";
import { Icon } from "./Glyph.tsx";

export interface Column<T> {
	id: string;
	head: string;
	/** What is behind the head: the unit of a column. */
	unit?: string | undefined;
	cell: (row: T) => ReactNode;
	/** What a column is sorted by; without it, it is not. What is not known comes last, either way. */
	sort?: (row: T) => number | string | undefined;
	/** The text of CSV and of the filter; without it, the column is not in them. */
	text?: (row: T) => string | number | undefined;
	/** Figures stand on the right. */
	right?: boolean;
	/** It names the row: on a narrow page it heads the row's own list. */
	lead?: boolean;
	/** Leave it out on a narrow page. */
	wide?: boolean;
	/** On a narrow page it takes a whole line. */
	line?: boolean;
}

interface Props<T> {
	rows: readonly T[];
	columns: readonly Column<T>[];
	/** What a row is, one and many. */
	noun: [string, string];
	rowKey: (row: T) => string;
	/** The column that it is sorted by at first, "-" before it for the largest first; none: as the rows come. */
	sort?: string;
	/** Words of the address: "" for the only table of a page. */
	name?: string;
	filter?: boolean;
	/** Name of the CSV file; without it, there is none. */
	file?: string;
	caption: string;
	/** Below the rows: a button for more of them, say. */
	more?: ReactNode;
}

const features = tableFeatures({ rowSortingFeature, sortedRowModel: createSortedRowModel() });

/** From so many rows on only those that are seen are drawn. */
const virtualFrom = 80;

const rank = (a: number | string | undefined, b: number | string | undefined) => {
	if (typeof a === "number" && typeof b === "number") return a - b;
	return String(a).localeCompare(String(b), "en", { numeric: true });
};

/** Rows with a head that sorts, a filter, and CSV. Sort and filter are in the address. Narrow, each row is a list. */
export function DataTable<T extends object>(p: Props<T>) {
	const [words, change] = useWords();
	const key = p.name ? `${p.name}_` : "";
	const asked = words[`${key}sort`] ?? p.sort ?? "";
	const sorting: SortingState = useMemo(
		() => (asked ? [{ id: asked.replace(/^-/, ""), desc: asked.startsWith("-") }] : []),
		[asked],
	);
	const find = p.filter ? (words[`${key}find`] ?? "") : "";
	const data = useMemo(() => filtered(p.rows, p.columns, find), [p.rows, p.columns, find]);
	const shown = useMemo(() => led(p.columns), [p.columns]);
	const columns = useMemo(
		() =>
			p.columns.map((c) => ({
				id: c.id,
				accessorFn: (row: T) => c.sort?.(row),
				enableSorting: Boolean(c.sort),
				sortUndefined: "last" as const,
				sortFn: (
					a: { getValue: (id: string) => unknown },
					b: { getValue: (id: string) => unknown },
					id: string,
				) => rank(a.getValue(id) as number, b.getValue(id) as number),
			})),
		[p.columns],
	);
	const table = useTable({ features, columns, data, getRowId: p.rowKey, state: { sorting } } as never);
	const rows = table.getRowModel().rows as unknown as Row<typeof features, T>[];
	const by = (c: Column<T>) => {
		const now = sorting[0]?.id === c.id ? (sorting[0].desc ? "desc" : "asc") : undefined;
		const next = now === undefined ? (c.right ? `-${c.id}` : c.id) : now === "desc" ? c.id : `-${c.id}`;
		change({ [`${key}sort`]: next === p.sort ? undefined : next });
	};
	const save = () => {
		const told = p.columns.filter((c) => c.text);
		const lines = rows.map((r) => told.map((c) => c.text?.(r.original)));
		download(
			`${p.file}.csv`,
			csv(
				told.map((c) => (c.unit ? `${c.head} (${c.unit})` : c.head)),
				lines,
			),
		);
	};
	return (
		<div>
			{(p.filter || p.file) && (
				<div className="mb-3 flex items-baseline gap-5 text-[0.875rem]">
					{p.filter && (
						<input
							type="search"
							value={find}
							placeholder={`filter ${p.noun[1]}`}
							aria-label={`filter ${p.noun[1]}`}
							onChange={(e) => change({ [`${key}find`]: e.target.value || undefined })}
							className="w-44 min-w-0 border-line border-b bg-transparent py-1 placeholder:text-faint hover:border-faint"
						/>
					)}
					<span className="ml-auto whitespace-nowrap text-faint tabular-nums" role="status">
						{data.length === p.rows.length
							? count(data.length, ...p.noun)
							: `${data.length} of ${count(p.rows.length, ...p.noun)}`}
					</span>
					{p.file && (
						<button type="button" onClick={save} className="link whitespace-nowrap text-soft">
							CSV
						</button>
					)}
				</div>
			)}
			<SortBy
				columns={p.columns}
				at={asked}
				onChange={(s) => change({ [`${key}sort`]: s === p.sort ? undefined : s })}
			/>
			{/* A narrow page draws rows as lists, which would take the roles away: they are said. */}
			<table
				role="table"
				className="w-full border-collapse text-[0.9375rem] tabular-nums max-md:block"
				aria-rowcount={rows.length + 1}
			>
				<caption className="sr-only">{p.caption}</caption>
				<thead role="rowgroup" className="max-md:sr-only">
					<tr role="row" className="border-line border-b">
						{p.columns.map((c) => (
							<Head
								key={c.id}
								column={c}
								sorted={sorting[0]?.id === c.id ? sorting[0] : undefined}
								onSort={() => by(c)}
							/>
						))}
					</tr>
				</thead>
				<Body rows={rows} columns={shown} />
			</table>
			{data.length === 0 && p.rows.length > 0 && (
				<p className="py-6 text-soft">
					No {p.noun[0]} has “{safe(find, 60)}” in it.{" "}
					<button type="button" className="link" onClick={() => change({ [`${key}find`]: undefined })}>
						show all
					</button>
				</p>
			)}
			{p.more}
		</div>
	);
}

/** The columns, of which one names the row: the first, where none says so. */
function led<T>(columns: readonly Column<T>[]): readonly Column<T>[] {
	return columns.some((c) => c.lead) ? columns : columns.map((c, i) => (i === 0 ? { ...c, lead: true } : c));
}

function filtered<T>(rows: readonly T[], columns: readonly Column<T>[], find: string): T[] {
	const want = find.trim().toLowerCase();
	if (!want) return rows as T[];
	return rows.filter((r) =>
		columns.some((c) =>
			String(c.text?.(r) ?? "")
				.toLowerCase()
				.includes(want),
		),
	);
}

interface HeadProps<T> {
	column: Column<T>;
	sorted: { desc: boolean } | undefined;
	onSort: () => void;
}

function Head<T>({ column: c, sorted, onSort }: HeadProps<T>) {
	const name = (
		<span>
			{c.head}
			{c.unit && <span className="font-normal text-faint"> {c.unit}</span>}
		</span>
	);
	return (
		<th
			scope="col"
			role="columnheader"
			{...(c.sort ? { "aria-sort": sorted ? (sorted.desc ? "descending" : "ascending") : "none" } : {})}
			className={`py-2 pr-6 align-baseline font-normal text-[0.8125rem] text-faint last:pr-0 ${c.right ? "text-right" : "text-left"}`}
		>
			{c.sort ? (
				<button
					type="button"
					onClick={onSort}
					className={`group inline-flex items-baseline gap-1 hover:text-ink ${c.right ? "flex-row-reverse" : ""} ${sorted ? "text-ink" : ""}`}
				>
					{name}
					<Icon
						of={sorted && !sorted.desc ? "up" : "down"}
						className={`size-3 self-center ${sorted ? "" : "opacity-0 group-hover:opacity-60 group-focus-visible:opacity-60"} ${c.right ? "-ml-4" : ""}`}
					/>
				</button>
			) : (
				name
			)}
		</th>
	);
}

/** The order of the rows, where no head is seen. */
function SortBy<T>({
	columns,
	at,
	onChange,
}: {
	columns: readonly Column<T>[];
	at: string;
	onChange: (s: string) => void;
}) {
	const able = columns.filter((c) => c.sort);
	if (able.length < 2) return null;
	return (
		<label className="mb-2 flex items-baseline gap-2 text-[0.875rem] text-faint md:hidden">
			sort by
			<select
				value={at}
				onChange={(e) => onChange(e.target.value)}
				className="border-line border-b bg-paper py-1 text-ink"
			>
				{!at && <option value="">as listed</option>}
				{able.flatMap((c) => [
					<option key={c.id} value={c.id}>
						{c.head}, {c.right ? "lowest first" : "from A"}
					</option>,
					<option key={`-${c.id}`} value={`-${c.id}`}>
						{c.head}, {c.right ? "highest first" : "from Z"}
					</option>,
				])}
			</select>
		</label>
	);
}

/** Arrows up and down move between the rows' first links. */
function walk(e: KeyboardEvent<HTMLElement>) {
	const step = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
	const row = (e.target as HTMLElement).closest("tr");
	if (!step || !row || (e.target as HTMLElement).tagName === "INPUT") return;
	let next = row;
	do {
		next = (step > 0 ? next.nextElementSibling : next.previousElementSibling) as HTMLTableRowElement;
	} while (next && !next.querySelector("a"));
	const link = next?.querySelector<HTMLElement>("a");
	if (!link) return;
	e.preventDefault();
	link.focus();
}

function Body<T>({ rows, columns }: { rows: Row<typeof features, T & object>[]; columns: readonly Column<T>[] }) {
	const ref = useRef<HTMLTableSectionElement>(null);
	const virtual = useWindowVirtualizer({
		count: rows.length,
		estimateSize: () => 45,
		overscan: 12,
		enabled: rows.length >= virtualFrom,
		scrollMargin: ref.current?.offsetTop ?? 0,
		getItemKey: (i) => rows[i]?.id ?? i,
	});
	if (rows.length < virtualFrom) {
		return (
			<tbody role="rowgroup" ref={ref} className="max-md:block" onKeyDown={walk}>
				{rows.map((r, i) => (
					<Line key={r.id} row={r.original} columns={columns} at={i} />
				))}
			</tbody>
		);
	}
	const items = virtual.getVirtualItems();
	const margin = virtual.options.scrollMargin;
	const before = (items[0]?.start ?? margin) - margin;
	const after = virtual.getTotalSize() - ((items.at(-1)?.end ?? margin) - margin);
	return (
		<tbody role="rowgroup" ref={ref} className="max-md:block" onKeyDown={walk}>
			<Gap height={before} />
			{items.map((item) => {
				const r = rows[item.index];
				return (
					r && (
						<Line
							key={r.id}
							row={r.original}
							columns={columns}
							at={item.index}
							measure={virtual.measureElement}
						/>
					)
				);
			})}
			<Gap height={after} />
		</tbody>
	);
}

function Gap({ height }: { height: number }) {
	if (height <= 0) return null;
	return <tr aria-hidden="true" className="max-md:block" style={{ height }} />;
}

interface LineProps<T> {
	row: T;
	columns: readonly Column<T>[];
	at: number;
	measure?: (e: HTMLElement | null) => void;
}

function Line<T>({ row, columns, at, measure }: LineProps<T>) {
	return (
		<tr
			ref={measure}
			data-index={at}
			aria-rowindex={at + 2}
			role="row"
			className="border-line border-b hover:bg-wash/60 max-md:grid max-md:grid-cols-2 max-md:gap-x-6 max-md:py-3"
		>
			{columns.map((c) => (
				<td
					key={c.id}
					role="cell"
					className={`py-2.5 pr-6 align-baseline last:pr-0 max-md:flex max-md:min-w-0 max-md:items-baseline max-md:justify-between max-md:gap-3 max-md:py-0.5 max-md:pr-0 ${c.right ? "text-right" : ""} ${c.lead ? "max-md:order-first max-md:col-span-2 max-md:pb-1 max-md:text-base" : ""} ${c.line ? "max-md:col-span-2" : ""} ${c.wide ? "max-md:hidden" : ""}`}
				>
					{!c.lead && <span className="label whitespace-nowrap md:hidden">{c.head}</span>}
					<span
						className={
							c.lead
								? "min-w-0"
								: "min-w-0 max-md:text-right max-md:whitespace-normal max-md:wrap-anywhere"
						}
					>
						{c.cell(row)}
					</span>
				</td>
			))}
		</tr>
	);
}
