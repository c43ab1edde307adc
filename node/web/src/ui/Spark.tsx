/** A small line of what was, its newest point marked. For the eye: what it says stands in figures beside it. */
export function Spark({ values, className = "h-6 w-24" }: { values: readonly number[]; className?: string }) {
	if (values.length < 2) return null;
	const low = Math.min(...values);
	const span = Math.max(...values) - low || 1;
	const at = (v: number, i: number) => [2 + (i / (values.length - 1)) * 92, 22 - ((v - low) / span) * 20] as const;
	const line = values
		.map((v, i) =>
			at(v, i)
				.map((n) => n.toFixed(1))
				.join(" "),
		)
		.join("L");
	const [x, y] = at(values.at(-1) ?? low, values.length - 1);
	return (
		<svg
			viewBox="0 0 98 24"
			className={`inline-block overflow-visible align-middle ${className}`}
			aria-hidden="true"
		>
			<path
				d={`M${line}`}
				fill="none"
				stroke="currentColor"
				strokeWidth={1.25}
				strokeLinejoin="round"
				className="text-faint"
			/>
			<circle cx={x} cy={y} r={2} className="fill-ink" />
		</svg>
	);
}

interface RangeProps {
	low: number;
	mid: number;
	high: number;
	/** The ends of the scale, which all rows share. */
	from: number;
	to: number;
}

/** A price band on a scale of ratios: the line from p10 to p90, a mark at the median. */
export function Range({ low, mid, high, from, to }: RangeProps) {
	const x = (v: number) => 2 + (Math.log(v / from) / Math.log(to / from || 2)) * 116;
	if (!(low > 0 && from > 0 && to > from)) return null;
	return (
		<svg viewBox="0 0 120 16" className="inline-block h-4 w-30 align-middle" aria-hidden="true">
			<path d="M2 8h116" className="stroke-line" strokeWidth={1} />
			<path d={`M${x(low)} 8H${x(high)}`} className="stroke-soft" strokeWidth={3} />
			<path d={`M${x(mid)} 3v10`} className="stroke-ink" strokeWidth={2} />
		</svg>
	);
}

/** A part of a whole as a bar. */
export function Share({ part, of, className = "w-20" }: { part: number; of: number; className?: string }) {
	return (
		<svg
			viewBox="0 0 100 6"
			preserveAspectRatio="none"
			className={`inline-block h-1.5 align-middle ${className}`}
			aria-hidden="true"
		>
			<path d="M0 3h100" className="stroke-line" strokeWidth={6} />
			<path d={`M0 3h${of > 0 ? (100 * part) / of : 0}`} className="stroke-soft" strokeWidth={6} />
		</svg>
	);
}
