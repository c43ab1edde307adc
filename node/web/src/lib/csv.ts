/** A cell of CSV. What a sheet would take for a formula gets an apostrophe before it: peers choose some of the texts. */
export function cell(v: string | number | null | undefined): string {
	if (v === null || v === undefined) return "";
	if (typeof v === "number") return String(v);
	const text = /^[=+\-@\t\r]/.test(v) && !/^-?\d+(\.\d+)?$/.test(v) ? `'${v}` : v;
	return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows as CSV (RFC 4180). */
export function csv(head: string[], rows: (string | number | null | undefined)[][]): string {
	return `${[head, ...rows].map((r) => r.map(cell).join(",")).join("\r\n")}\r\n`;
}

/** Hands a text to the reader as a file. */
export function download(name: string, text: string, type = "text/csv"): void {
	const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
	const a = document.createElement("a");
	a.href = url;
	a.download = name;
	a.click();
	setTimeout(() => URL.revokeObjectURL(url), 1000);
}
