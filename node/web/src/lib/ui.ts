import { create } from "zustand";
import { persist } from "zustand/middleware";

export type Theme = "system" | "light" | "dark";

interface UI {
	theme: Theme;
	setTheme: (t: Theme) => void;
}

/** What the reader chose of the page itself. All else is in the address, or the indexer's. */
export const useUI = create<UI>()(
	persist(
		(set) => ({
			theme: "system",
			setTheme: (theme) => {
				set({ theme });
				const root = document.documentElement;
				if (theme === "system") delete root.dataset.theme;
				else root.dataset.theme = theme;
			},
		}),
		{ name: "gpuai-ui", partialize: ({ theme }) => ({ theme }) },
	),
);
