import { lazy, type ReactNode, Suspense, useId, useRef, useState } from "react";

const Hint = lazy(() => import("./floating.tsx").then((m) => ({ default: m.Hint })));

/** A short text beside a thing, on hover and on focus. The code for it loads when the first one is wanted. */
export function Tooltip({ text, children, className = "" }: { text: string; children: ReactNode; className?: string }) {
	const ref = useRef<HTMLSpanElement>(null);
	const id = useId();
	const [open, setOpen] = useState(false);
	return (
		// biome-ignore lint/a11y/noStaticElementInteractions: it only says more of what stands in it
		<span
			ref={ref}
			className={className}
			aria-describedby={open ? id : undefined}
			onPointerEnter={() => setOpen(true)}
			onPointerLeave={() => setOpen(false)}
			onFocus={() => setOpen(true)}
			onBlur={() => setOpen(false)}
		>
			{children}
			{open && (
				<Suspense>
					<Hint id={id} anchor={ref} text={text} />
				</Suspense>
			)}
		</span>
	);
}
