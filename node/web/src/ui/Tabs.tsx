import { type KeyboardEvent, type ReactNode, useId, useRef } from "react";

export interface Tab<K extends string> {
	key: K;
	name: string;
}

interface TabsProps<K extends string> {
	tabs: readonly Tab<K>[];
	at: K;
	onChange: (k: K) => void;
	label: string;
	children?: ReactNode;
}

/** One of several views; arrows move between them. The choice belongs into the address. */
export function Tabs<K extends string>({ tabs, at, onChange, label, children }: TabsProps<K>) {
	const id = useId();
	const list = useRef<HTMLDivElement>(null);
	const move = (e: KeyboardEvent) => {
		const step = { ArrowRight: 1, ArrowLeft: -1, Home: -tabs.length, End: tabs.length }[e.key];
		if (!step) return;
		e.preventDefault();
		const i = tabs.findIndex((t) => t.key === at);
		const to = Math.abs(step) > 1 ? (step < 0 ? 0 : tabs.length - 1) : (i + step + tabs.length) % tabs.length;
		const next = tabs[to];
		if (next) onChange(next.key);
		list.current?.querySelectorAll("button")[to]?.focus();
	};
	return (
		<>
			<div
				ref={list}
				role="tablist"
				aria-label={label}
				className="flex flex-wrap gap-x-5 text-[0.9375rem]"
				onKeyDown={move}
			>
				{tabs.map((t) => (
					<button
						key={t.key}
						type="button"
						role="tab"
						id={`${id}-${t.key}`}
						aria-selected={t.key === at}
						{...(children === undefined ? {} : { "aria-controls": `${id}-panel` })}
						tabIndex={t.key === at ? 0 : -1}
						onClick={() => onChange(t.key)}
						className={`-mb-px border-b-2 py-1 ${t.key === at ? "border-accent text-ink" : "border-transparent text-faint hover:text-ink"}`}
					>
						{t.name}
					</button>
				))}
			</div>
			{children !== undefined && (
				<div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${at}`}>
					{children}
				</div>
			)}
		</>
	);
}
