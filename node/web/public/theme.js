// A theme that was chosen stands before the first paint; without a choice the system's holds.
try {
	const chosen = JSON.parse(localStorage.getItem("gpuai-ui") ?? "{}").state?.theme;
	if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
	// no storage: the system's theme
}
