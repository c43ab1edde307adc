import { CSPProvider } from "@base-ui/react/csp-provider";
import { Popover } from "@base-ui/react/popover";
import { Tooltip } from "@base-ui/react/tooltip";
import type { ReactNode, RefObject } from "react";

// What floats above a page: the only use of the primitive library, loaded when it is first wanted.

type Anchor = RefObject<HTMLElement | null>;

/** A short text beside an anchor. */
export function Hint({ id, anchor, text }: { id: string; anchor: Anchor; text: string }) {
	return (
		<CSPProvider disableStyleElements>
			<Tooltip.Root open>
				<Tooltip.Portal>
					<Tooltip.Positioner anchor={anchor} sideOffset={6} className="pointer-events-none z-50">
						<Tooltip.Popup
							id={id}
							role="tooltip"
							className="max-w-sm bg-ink px-2 py-1 text-[0.8125rem] text-paper leading-5 wrap-anywhere"
						>
							{text}
						</Tooltip.Popup>
					</Tooltip.Positioner>
				</Tooltip.Portal>
			</Tooltip.Root>
		</CSPProvider>
	);
}

/** A panel at an anchor, which has the focus until it is closed. */
export function Panel(props: { anchor: Anchor; title: string; onClose: () => void; children: ReactNode }) {
	return (
		<CSPProvider disableStyleElements>
			<Popover.Root open onOpenChange={(open) => !open && props.onClose()}>
				<Popover.Portal>
					<Popover.Positioner
						anchor={props.anchor}
						sideOffset={8}
						align="start"
						collisionAvoidance={{ side: "shift", align: "shift", fallbackAxisSide: "none" }}
						collisionPadding={12}
						className="z-40"
					>
						<Popover.Popup
							finalFocus={props.anchor}
							className="w-88 max-w-[calc(100vw-1.5rem)] border border-rule bg-raise p-4 text-[0.875rem] text-ink outline-none"
						>
							<Popover.Title className="mb-2 font-semibold">{props.title}</Popover.Title>
							{props.children}
						</Popover.Popup>
					</Popover.Positioner>
				</Popover.Portal>
			</Popover.Root>
		</CSPProvider>
	);
}
