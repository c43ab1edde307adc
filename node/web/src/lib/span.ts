/** What a span asks for: from a full hour on, so that all readers ask for the same answer; of all time a point a day. */
export function asked(span: string): { since: string; every?: "day" } {
	if (span === "all") return { since: new Date(0).toISOString(), every: "day" };
	const hour = 3600_000;
	return { since: new Date(Math.floor(Date.now() / hour) * hour - Number(span) * 24 * hour).toISOString() };
}
