import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useId, useMemo, useState } from "react";
import { get, list } from "../api/query.ts";
import { type Ask, offersLine, runLine } from "../lib/cli.ts";
import { units } from "../lib/money.ts";
import { type Search, useWords } from "../lib/search.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { DataTable } from "../ui/DataTable.tsx";
import { offerColumns } from "../ui/offers.tsx";
import { Section, Shell } from "../ui/Shell.tsx";
import { Empty, More, View } from "../ui/State.tsx";

interface Wanted extends Ask {
	reached?: string | undefined;
}

/** The address's words that make sense as filters. */
function wantedOf(w: Search): Wanted {
	const whole = (v: string | undefined, most: number) =>
		v && /^\d{1,4}$/.test(v) && +v >= 1 && +v <= most ? v : undefined;
	return {
		slug: w.slug && /^[a-z0-9-]{1,32}$/.test(w.slug) ? w.slug : undefined,
		rate: w.rate && (units(w.rate, 9) ?? "0") !== "0" ? w.rate : undefined,
		free: whole(w.free, 64),
		vram: whole(w.vram, 4096),
		country: w.country && /^[A-Za-z]{2}$/.test(w.country) ? w.country.toUpperCase() : undefined,
		reached: w.reached ? "1" : undefined,
	};
}

function queryOf(w: Wanted) {
	return {
		...(w.slug ? { slug: w.slug } : {}),
		...(w.rate ? { max_rate: Number(units(w.rate, 9)) } : {}),
		...(w.free ? { free: Number(w.free) } : {}),
		...(w.vram ? { vram_bytes: Number(w.vram) * 2 ** 30 } : {}),
		...(w.country ? { country: w.country } : {}),
		...(w.reached ? { reachable: true } : {}),
	};
}

export function Page() {
	const [words, change] = useWords();
	const want = useMemo(() => wantedOf(words), [words]);
	const q = useInfiniteQuery(list("/offers", { query: queryOf(want) }));
	const columns = useMemo(() => offerColumns({ model: true }), []);
	const rows = useMemo(() => q.data?.flatMap((p) => p.offers) ?? [], [q.data]);
	const none = () =>
		change({
			slug: undefined,
			rate: undefined,
			free: undefined,
			vram: undefined,
			country: undefined,
			reached: undefined,
		});
	return (
		<Shell
			title="Offers"
			lead="What is for rent, as each provider signed it: groups of equal devices at a price per device and hour. The columns are those that gpuai offers prints."
		>
			<Filters want={want} words={words} change={change} />
			<div className="mt-10">
				<View
					of={q}
					lines={10}
					empty={(d) =>
						d.every((p) => p.offers.length === 0) && (
							<Empty
								why="No offer fits."
								line={runLine(want).replace("gpuai run", "gpuai run --wait 2h")}
								note="Let your node wait for one"
							>
								<button type="button" className="link" onClick={none}>
									Show all offers
								</button>
							</Empty>
						)
					}
				>
					{() => (
						<DataTable
							caption="offers"
							rows={rows}
							columns={columns}
							noun={["offer", "offers"]}
							rowKey={(o) => `${o.peer} ${o.group}`}
							sort="rate"
							filter
							file="offers"
							more={<More of={q} />}
						/>
					)}
				</View>
			</div>
			<Section
				title="The same on the command line"
				note="Your own node measures for itself which rigs answer, so “reached” has no flag."
			>
				<div className="grid gap-x-12 gap-y-5 lg:grid-cols-2">
					<CopyCommand line={offersLine(want)} note="list them" />
					<CopyCommand line={runLine(want)} note="rent one: shows the plan first" />
				</div>
			</Section>
		</Shell>
	);
}

interface FiltersProps {
	want: Wanted;
	words: Search;
	change: (c: Search) => void;
}

function Filters({ want, words, change }: FiltersProps) {
	const models = useQuery(get("/gpus", { query: { limit: 200 } }));
	const slugs = models.data?.models.map((m) => m.slug) ?? [];
	if (want.slug && !slugs.includes(want.slug)) slugs.unshift(want.slug);
	return (
		<search
			aria-label="filters"
			className="mt-10 flex flex-wrap items-start gap-x-8 gap-y-5 border-line border-t pt-5"
		>
			<Field name="Model">
				{(id) => (
					<select
						id={id}
						value={want.slug ?? ""}
						onChange={(e) => change({ slug: e.target.value || undefined })}
						className={input}
					>
						<option value="">any</option>
						{slugs.map((s) => (
							<option key={s}>{s}</option>
						))}
					</select>
				)}
			</Field>
			<Typed
				name="At most, SOL/h"
				hint="0.003"
				word="rate"
				words={words}
				good={want.rate}
				change={change}
				width="w-24"
			/>
			<Typed
				name="Free devices"
				hint="1"
				word="free"
				words={words}
				good={want.free}
				change={change}
				width="w-16"
			/>
			<Typed name="VRAM, GiB" hint="24" word="vram" words={words} good={want.vram} change={change} width="w-16" />
			<Typed
				name="Country"
				hint="DE"
				word="country"
				words={words}
				good={want.country}
				change={change}
				width="w-14"
			/>
			<label className="flex items-center gap-2 self-center pt-4 text-[0.9375rem]">
				<input
					type="checkbox"
					checked={Boolean(want.reached)}
					onChange={(e) => change({ reached: e.target.checked ? "1" : undefined })}
					className="size-4 accent-accent"
				/>
				reached within 10 minutes
			</label>
		</search>
	);
}

const input =
	"border-line border-b bg-paper py-1 text-[0.9375rem] tabular-nums placeholder:text-faint hover:border-faint";

function Field({ name, children }: { name: string; children: (id: string) => ReactNode }) {
	const id = useId();
	return (
		<div>
			<label htmlFor={id} className="label block">
				{name}
			</label>
			{children(id)}
		</div>
	);
}

interface TypedProps {
	name: string;
	hint: string;
	word: string;
	words: Search;
	/** What the word was understood as; none: it is no such value. */
	good: string | undefined;
	change: (c: Search) => void;
	width: string;
}

/** A filter that is typed. It takes hold when the typing rests. */
function Typed({ name, hint, word, words, good, change, width }: TypedProps) {
	const now = words[word] ?? "";
	const [text, setText] = useState(now);
	useEffect(() => setText(now), [now]);
	useEffect(() => {
		if (text === now) return;
		const t = setTimeout(() => change({ [word]: text.trim() || undefined }), 350);
		return () => clearTimeout(t);
	}, [text, now, word, change]);
	const bad = now !== "" && text === now && !good;
	return (
		<Field name={name}>
			{(id) => (
				<>
					<input
						id={id}
						value={text}
						placeholder={hint}
						inputMode={word === "country" ? "text" : "decimal"}
						maxLength={24}
						aria-invalid={bad}
						aria-describedby={bad ? `${id}-bad` : undefined}
						onChange={(e) => setText(e.target.value)}
						className={`${input} ${width} ${bad ? "border-bad" : ""}`}
					/>
					{bad && (
						<span id={`${id}-bad`} className="block text-[0.8125rem] text-bad">
							as in {hint}
						</span>
					)}
				</>
			)}
		</Field>
	);
}
