import type { ReactNode } from "react";
import type { Origin } from "../api/client.ts";
import { Figure } from "./Figure.tsx";

/** The few figures that a page begins with. */
export function Keys({ children }: { children: ReactNode }) {
	return (
		<dl className="mt-10 grid grid-cols-2 gap-x-6 gap-y-6 sm:flex sm:flex-wrap sm:gap-x-10 border-line border-t pt-5 md:mt-14 lg:justify-between">
			{children}
		</dl>
	);
}

interface KeyProps {
	/** Its word in /definitions. */
	word: string;
	/** What stands above it, if not the word. */
	name?: string;
	of: (Origin & { value?: unknown }) | undefined;
	check?: string;
	children?: ReactNode;
}

export function Key({ word, name, of, check, children }: KeyProps) {
	return (
		<div>
			<dt className="label">{name ?? word}</dt>
			<dd className="mt-0.5 font-[480] text-3xl tracking-[-0.025em]">
				<Figure of={of} word={word} check={check} className="[&_svg]:size-[0.28em]">
					{children}
				</Figure>
			</dd>
		</div>
	);
}
