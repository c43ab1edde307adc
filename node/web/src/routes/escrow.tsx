import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client.ts";
import { get } from "../api/query.ts";
import { CopyCommand } from "../ui/Copy.tsx";
import { Dash, Figure } from "../ui/Figure.tsx";
import { Facts, Section, Shell } from "../ui/Shell.tsx";
import { Partial, View } from "../ui/State.tsx";
import { Id, Money } from "../ui/Value.tsx";

type Escrow = Schemas["Escrow"];

export function Page() {
	const q = useQuery(get("/escrow"));
	return (
		<Shell
			title="Escrow"
			lead="All money between customers and providers lies in channels of one program. A channel can pay only its provider, or go back to its customer."
		>
			<div className="mt-12">
				<View of={q} lines={6}>
					{(d) => <Parts of={d} />}
				</View>
			</div>
		</Shell>
	);
}

function Parts({ of: e }: { of: Escrow }) {
	return (
		<>
			<Partial missing={e.channels.length === 0 ? ["the chain"] : []} />
			<dl className="flex flex-wrap gap-x-14 gap-y-8 border-line border-t pt-5">
				{e.locked.map((l) => (
					<div key={l.value.mint}>
						<dt className="label">locked</dt>
						<dd className="font-[480] text-5xl tracking-[-0.03em] md:text-6xl">
							<Figure of={l} word="locked" className="[&_svg]:size-[0.22em]">
								<Money of={l.value} big />
							</Figure>
						</dd>
					</div>
				))}
				{e.locked.length === 0 && (
					<div>
						<dt className="label">locked</dt>
						<dd className="text-xl text-soft">Nothing is locked, as far as this index has read.</dd>
					</div>
				)}
			</dl>
			<Channels of={e} />
			<Section
				title="The program"
				note="Its bytes are committed beside its source; this version was built with the hash below."
			>
				<Facts
					of={[
						["address", <Id key="a" id={e.program} full />],
						["SHA-256", <Id key="h" id={e.hash} full />],
						["on the chain", <OnChain key="c" of={e} />],
						["may be changed by", <Authority key="u" of={e} />],
					]}
				/>
			</Section>
			<Section
				title="Check it yourself"
				note="The hash of the program on the chain must be the one above, and an authority that is “none” can change nothing."
			>
				<div className="grid max-w-3xl gap-4">
					<CopyCommand line={`solana program show ${e.program}`} note="authority, and where its bytes lie" />
					<CopyCommand
						line={`solana program dump ${e.program} escrow.so && sha256sum escrow.so`}
						note="its bytes, and their hash; zeros behind them come from the account's room"
					/>
					<CopyCommand line="sha256sum escrow/program/escrow.so" note="the same in a checkout" />
				</div>
			</Section>
		</>
	);
}

/** Who may change the program, as the chain says. */
function Authority({ of: e }: { of: Escrow }) {
	if (!e.deployed) return <Dash what="not read yet" />;
	if (e.deployed.authority) return <Id id={e.deployed.authority} full />;
	return <span className="text-accent">nobody</span>;
}

/** The hash of what lies on the chain, beside the one that this version was built with. */
function OnChain({ of: e }: { of: Escrow }) {
	if (!e.deployed) return <Dash what="not read yet" />;
	if (e.deployed.same) return <span className="text-accent">the same bytes</span>;
	return (
		<span className="text-bad">
			other bytes: <Id id={e.deployed.hash} />
		</span>
	);
}

const means: Record<Escrow["channels"][number]["status"], string> = {
	open: "vouchers may be settled",
	closing: "the close delay runs",
	sealed: "what is whose stands; it is paid out, or about to be",
	gone: "both were paid, the account is removed",
};

function Channels({ of: e }: { of: Escrow }) {
	if (e.channels.length === 0) return null;
	const most = Math.max(1, ...e.channels.map((c) => c.channels.value));
	return (
		<Section title="Channels" note="Each is between one customer and one provider.">
			<table className="w-full max-w-3xl text-[0.9375rem] tabular-nums">
				<caption className="sr-only">channels by status</caption>
				<thead className="sr-only">
					<tr>
						<th scope="col">status</th>
						<th scope="col">share</th>
						<th scope="col">channels</th>
					</tr>
				</thead>
				<tbody>
					{e.channels.map((c) => (
						<tr key={c.status} className="border-line border-b">
							<th scope="row" className="py-3 pr-6 text-left font-normal">
								<span className="font-medium">{c.status}</span>
								<span className="block text-[0.875rem] text-faint">{means[c.status]}</span>
							</th>
							<td className="w-1/3 py-3 pr-6 max-md:hidden">
								<svg
									viewBox="0 0 100 6"
									preserveAspectRatio="none"
									className="h-1.5 w-full"
									aria-hidden="true"
								>
									<rect width={100} height={6} className="fill-wash" />
									<rect
										width={(100 * c.channels.value) / most}
										height={6}
										className={c.status === "gone" ? "fill-faint/50" : "fill-accent"}
									/>
								</svg>
							</td>
							<td className="py-3 text-right text-lg">
								<Figure of={c.channels} word="channel" bare />
							</td>
						</tr>
					))}
				</tbody>
			</table>
		</Section>
	);
}
