package main

import (
	"fmt"
	"strings"
)

var tsTypes = map[Kind]string{
	U8: "number", U64: "bigint", Amount: "bigint", Seconds: "number", Time: "bigint", Key: "Uint8Array",
}

const tsHead = `
function view(b: Uint8Array): DataView {
  return new DataView(b.buffer, b.byteOffset, b.byteLength);
}

/** Bytes that are not what they should be. */
export class Malformed extends Error {}

function put(b: Uint8Array, at: number, key: Uint8Array, name: string): void {
  if (key.length !== 32) throw new Malformed(` + "`${name}: ${key.length} bytes instead of 32`" + `);
  b.set(key, at);
}
`

// typescriptText returns escrow.ts: the same codec for a browser, without any dependency. Numbers of 64 bits are
// bigint.
func typescriptText() string {
	var b strings.Builder
	p := func(s string, a ...any) { fmt.Fprintf(&b, s, a...) }
	p("%s%s\n/** Instructions by tag: data length with the tag, accounts by name, what the event's two numbers "+
		"are. */\n", header, tsHead)
	p("export const calls = {\n")
	for _, i := range Instructions {
		_, n := i.Places()
		p("  %d: {\n    name: %q,\n    dataLength: %d,\n    accounts: [\n", i.Tag, i.Name, n)
		for _, a := range i.Accounts {
			p("      { name: %q, signer: %t, writable: %t },\n", a.Name, a.Signer, a.Writable)
		}
		p("    ],\n    event: [%q, %q],\n  },\n", i.Event[0].Name, i.Event[1].Name)
	}
	p("} as const;\n\n/** The program's errors. */\nexport const codes: Readonly<Record<number, { name: string; " +
		"text: string }>> = {\n")
	for _, c := range Codes {
		p("  %d: { name: %q, text: %q },\n", c.Number, c.Name, c.Doc)
	}
	p("};\n")
	for _, i := range Instructions {
		fields, n := i.Places()
		if len(i.Data) == 0 {
			p("\n/** %s */\nexport function encode%s(): Uint8Array {\n  return new Uint8Array([%d]);\n}\n", i.Doc,
				camel(i.Name), i.Tag)
			continue
		}
		tsCodec(p, camel(i.Name), i.Doc, []byte{i.Tag}, fields, n)
	}
	fields, n := Channel.Places()
	tsCodec(p, camel(Channel.Name), Channel.Doc, Channel.Discriminator, fields, n)
	return b.String()
}

func tsCodec(p func(string, ...any), name, doc string, first []byte, fields []Placed, n int) {
	p("\n/** %s */\nexport interface %s {\n", doc, name)
	for _, f := range fields {
		p("  ")
		if f.Doc != "" {
			p("/** %s */\n  ", f.Doc)
		}
		p("%s: %s;\n", lower(f.Name), tsTypes[f.Kind])
	}
	p("}\n\nexport function encode%s(d: %s): Uint8Array {\n  const b = new Uint8Array(%d);\n  const v = view(b);\n",
		name, name, n)
	for i, x := range first {
		p("  b[%d] = %d;\n", i, x)
	}
	for _, f := range fields {
		p("  %s\n", tsPut(f))
	}
	p("  return b;\n}\n\nexport function decode%s(b: Uint8Array): %s {\n  if (b.length !== %d", name, name, n)
	for i, x := range first {
		p(" || b[%d] !== %d", i, x)
	}
	p(") throw new Malformed(%q);\n  const v = view(b);\n  return {\n", "not the bytes of "+name)
	for _, f := range fields {
		p("    %s: %s,\n", lower(f.Name), tsGet(f))
	}
	p("  };\n}\n")
}

func tsPut(f Placed) string {
	name := "d." + lower(f.Name)
	switch f.Kind {
	case U8:
		return fmt.Sprintf("v.setUint8(%d, %s);", f.At, name)
	case Seconds:
		return fmt.Sprintf("v.setUint32(%d, %s, true);", f.At, name)
	case Key:
		return fmt.Sprintf("put(b, %d, %s, %q);", f.At, name, f.Name)
	case Time:
		return fmt.Sprintf("v.setBigInt64(%d, %s, true);", f.At, name)
	}
	return fmt.Sprintf("v.setBigUint64(%d, %s, true);", f.At, name)
}

func tsGet(f Placed) string {
	switch f.Kind {
	case U8:
		return fmt.Sprintf("v.getUint8(%d)", f.At)
	case Seconds:
		return fmt.Sprintf("v.getUint32(%d, true)", f.At)
	case Key:
		return fmt.Sprintf("b.slice(%d, %d)", f.At, f.At+32)
	case Time:
		return fmt.Sprintf("v.getBigInt64(%d, true)", f.At)
	}
	return fmt.Sprintf("v.getBigUint64(%d, true)", f.At)
}
