import { type ReactNode, useEffect, useState } from "react";
import { type Kind, unbase64, type Verdict, verify } from "../lib/document.ts";
import { safe } from "../lib/text.ts";
import { Icon } from "./Glyph.tsx";

/** Checks a document in this browser; undefined while it does. */
export function useVerdict(envelope: string | undefined, kind: Kind, peer: string, network: string | undefined) {
	const [verdict, setVerdict] = useState<Verdict>();
	useEffect(() => {
		let gone = false;
		setVerdict(undefined);
		if (envelope === undefined || network === undefined) return;
		const raw = unbase64(envelope);
		const checked = raw
			? verify(raw, kind, peer, network)
			: Promise.resolve<Verdict>({ state: "refused", why: "these bytes are no base64" });
		void checked.then((v) => !gone && setVerdict(v));
		return () => {
			gone = true;
		};
	}, [envelope, kind, peer, network]);
	return verdict;
}

const words = { verified: "verified", refused: "not verified", unknown: "not checked" } as const;

/** What came of checking a signature in this browser, and why. */
export function Verified({ of, by, children }: { of: Verdict | undefined; by?: string; children?: ReactNode }) {
	const state = of?.state;
	const colour = state === "verified" ? "border-accent" : state === "refused" ? "border-bad" : "border-line";
	return (
		<div className={`border-l-2 ${colour} py-1 pl-4`} role={state === "refused" ? "alert" : "status"}>
			<p className="flex items-center gap-2 font-medium">
				{state === "verified" && <Icon of="done" className="size-4 text-accent" />}
				{state === "refused" && <Icon of="close" className="size-4 text-bad" />}
				<span className={state === "refused" ? "text-bad" : ""}>
					{by ? `${by}: ` : ""}
					{state ? words[state] : "checking"}
				</span>
			</p>
			<p className="mt-0.5 max-w-[62ch] text-[0.9375rem] text-soft">
				{of === undefined
					? "Your browser checks the signature."
					: of.state === "verified"
						? (children ??
							"Your browser checked the signature: the key is in the peer id, the network in the signed text.")
						: `${safe(of.why, 300)}.`}
			</p>
		</div>
	);
}
