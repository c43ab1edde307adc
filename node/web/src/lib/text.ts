// Text of peers is shown as what it is: nothing in it may turn the line around, hide, or break it.

/** Marks that turn, hide or join text, and controls. */
const odd = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu;

/** Text of a peer, harmless: each odd character is drawn as a box, long text is cut. */
export function safe(text: string, most = 200): string {
	const cut = [...text];
	const short = cut.length > most ? `${cut.slice(0, most).join("")}…` : text;
	return short.replace(odd, "\u25af");
}

/** The ends of an id: enough to tell it from others by eye. */
export function short(id: string, head = 6, tail = 4): string {
	const clean = safe(id, 256);
	const from = /^(lease|order)_/.test(clean) ? head + 4 : head; // these begin all alike
	return clean.length <= from + tail + 1 ? clean : `${clean.slice(0, from)}…${clean.slice(-tail)}`;
}

/** A word of the command line: quoted where a shell would read it otherwise. */
export function shell(word: string): string {
	const clean = word.replace(odd, "");
	return /^[\w@%+=:,./-]+$/.test(clean) ? clean : `'${clean.replaceAll("'", "'\\''")}'`;
}

/** A count with its noun. */
export function count(n: number, one: string, many = `${one}s`): string {
	return `${number(n)} ${n === 1 ? one : many}`;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A whole number with marks between thousands. */
export function number(n: number): string {
	return whole.format(n);
}

/** Bytes in GiB, or TiB from 1024 of them. */
export function bytes(n: number): string {
	const g = n / 2 ** 30;
	if (g >= 1024) return `${trim(g / 1024)} TiB`;
	return g >= 1 ? `${trim(g)} GiB` : `${trim(n / 2 ** 20)} MiB`;
}

function trim(n: number): string {
	return n >= 100 || Number.isInteger(n) ? whole.format(n) : n.toFixed(1);
}

/** A share in percent. */
export function percent(part: number, of: number): string {
	if (of <= 0) return "—";
	const p = (100 * part) / of;
	return `${p > 0 && p < 1 ? "< 1" : p > 99 && p < 100 ? "> 99" : Math.round(p)} %`;
}
