// Packs a build into the folder that is embedded: text as .gz and .br, the rest as it is. Prints the gzip bytes of each file.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const [from, to] = process.argv.slice(2);
const text = /\.(js|css|html|svg|txt|json|webmanifest)$/;

for (const old of readdirSync(to)) if (old !== "README") rmSync(join(to, old), { recursive: true });
const names = readdirSync(from, { recursive: true, withFileTypes: true })
	.filter((f) => f.isFile())
	.map((f) => join(f.parentPath ?? f.path, f.name).slice(from.length + 1))
	.sort();
for (const name of names) {
	const body = readFileSync(join(from, name));
	const at = join(to, name);
	mkdirSync(dirname(at), { recursive: true });
	if (!text.test(name)) {
		writeFileSync(at, body);
		continue;
	}
	const gz = gzipSync(body, { level: 9 });
	writeFileSync(at + ".gz", gz);
	writeFileSync(at + ".br", brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
	console.log(`${String(gz.length).padStart(8)}  ${name}`);
}
