package main

import (
	"fmt"
	"go/format"
	"strings"
)

const header = "// Code generated from escrow/layout/table.go by make docs; DO NOT EDIT.\n"

var goTypes = map[Kind]string{
	U8: "uint8", U64: "uint64", Amount: "market.Amount", Seconds: "uint32", Time: "int64", Key: "[32]byte",
}

// goText returns escrow/codec.gen.go: tags, codes, the data of each instruction and of each account with its codec.
func goText() (string, error) {
	var b strings.Builder
	p := func(s string, a ...any) { fmt.Fprintf(&b, s, a...) }
	p("%s\npackage escrow\n\nimport (\n\"encoding/binary\"\n\"fmt\"\n\n\"github.com/gpuai/gpuai/market\"\n)\n", header)
	p("\n// Tags of the program's instructions: the first data byte.\nconst (\n")
	for _, i := range Instructions {
		p("Tag%s byte = %d\n", camel(i.Name), i.Tag)
	}
	p(")\n\n// Codes of the program.\nconst (\n")
	for _, c := range Codes {
		p("Code%s uint32 = %d // %s\n", camel(c.Name), c.Number, c.Doc)
	}
	p(")\n\nvar codeNames = map[uint32]string{\n")
	for _, c := range Codes {
		p("Code%s: %q,\n", camel(c.Name), c.Name)
	}
	p("}\n")
	goCalls(p)
	for _, i := range Instructions {
		if len(i.Data) > 0 {
			goData(p, i)
		}
	}
	goAccount(p, Channel)
	out, err := format.Source([]byte(b.String()))
	if err != nil {
		return "", fmt.Errorf("formatting the Go codec: %w", err)
	}
	return string(out), nil
}

func goFields(p func(string, ...any), fields []Placed) {
	for _, f := range fields {
		p("%s %s", camel(f.Name), goTypes[f.Kind])
		if f.Doc != "" {
			p(" // %s", f.Doc)
		}
		p("\n")
	}
}

// goCalls writes the list of instructions and the reader of a call.
func goCalls(p func(string, ...any)) {
	p(`
// CallForm is what an instruction of the program looks like: its data's length with the tag, its accounts by name in
// order.
type CallForm struct {
	Name string
	DataLen int
	Accounts []AccountForm
}

// AccountForm is one account of an instruction.
type AccountForm struct {
	Name string
	Signer, Writable bool
}

// Calls are the forms of the program's instructions by their tag.
var Calls = map[byte]CallForm{
`)
	for _, i := range Instructions {
		_, n := i.Places()
		p("Tag%s: {\nName: %q, DataLen: %d,\nAccounts: []AccountForm{\n", camel(i.Name), i.Name, n)
		for _, a := range i.Accounts {
			p("{%q, %t, %t},\n", a.Name, a.Signer, a.Writable)
		}
		p("},\n},\n")
	}
	p("}\n")
}

// goData writes the data of an instruction that has some.
func goData(p func(string, ...any), i Instruction) {
	fields, n := i.Places()
	name := camel(i.Name) + "Data"
	p("\n// %s is the data of instruction %d, %s: %d bytes with the tag.\ntype %s struct {\n", name, i.Tag, i.Name, n,
		name)
	goFields(p, fields)
	p("}\n\n// Encode returns the tag and the data.\nfunc (d %s) Encode() []byte {\nb := make([]byte, %d)\nb[0] = "+
		"Tag%s\n",
		name, n, camel(i.Name))
	for _, f := range fields {
		p("%s\n", goPut(f, "d"))
	}
	p("return b\n}\n\n// Decode%s is Encode's inverse. Errors: ErrMalformed.\nfunc Decode%s(b []byte) (d %s, err "+
		"error) {\n",
		name, name, name)
	p("if len(b) != %d || b[0] != Tag%s {\nreturn d, fmt.Errorf(\"%%w: not the data of %s\", ErrMalformed)\n}\n", n,
		camel(i.Name), i.Name)
	for _, f := range fields {
		p("%s\n", goGet(f, "d"))
	}
	p("return d, nil\n}\n")
}

// goAccount writes an account's offsets, its fields and its codec.
func goAccount(p func(string, ...any), a Account) {
	fields, n := a.Places()
	name := camel(a.Name)
	p("\n// %sLen is the account's length, Off… where its fields begin, in bytes: what a filter needs.\nconst (\n",
		name)
	p("%sLen = %d\n", name, n)
	for _, f := range fields {
		p("Off%s = %d\n", camel(f.Name), f.At)
	}
	p(")\n")
	p("\n// %sData is the account's bytes, read. %s\ntype %sData struct {\n", name, a.Doc, name)
	goFields(p, fields)
	p("}\n\n// encode returns the account's bytes.\nfunc (d %sData) encode() (b [%sLen]byte) {\n", name, name)
	for i, v := range a.Discriminator {
		p("b[%d] = %d\n", i, v)
	}
	for _, f := range fields {
		p("%s\n", goPut(f, "d"))
	}
	p("return b\n}\n\n// decode%sData is encode's inverse; it checks length, kind and version. Errors: ErrMalformed.\n",
		name)
	p("func decode%sData(b []byte) (d %sData, err error) {\nif len(b) != %sLen", name, name, name)
	for i, v := range a.Discriminator {
		p(" || b[%d] != %d", i, v)
	}
	p("{\nreturn d, fmt.Errorf(\"%%w: not a version %d %s account\", ErrMalformed)\n}\n", a.Discriminator[1], a.Name)
	for _, f := range fields {
		p("%s\n", goGet(f, "d"))
	}
	p("return d, nil\n}\n")
}

// goPut is the statement that writes a field of v into b.
func goPut(f Placed, v string) string {
	name := v + "." + camel(f.Name)
	switch f.Kind {
	case U8:
		return fmt.Sprintf("b[%d] = %s", f.At, name)
	case Seconds:
		return fmt.Sprintf("binary.LittleEndian.PutUint32(b[%d:], %s)", f.At, name)
	case Key:
		return fmt.Sprintf("copy(b[%d:], %s[:])", f.At, name)
	case Amount, Time:
		return fmt.Sprintf("binary.LittleEndian.PutUint64(b[%d:], uint64(%s))", f.At, name)
	}
	return fmt.Sprintf("binary.LittleEndian.PutUint64(b[%d:], %s)", f.At, name)
}

// goGet is the statement that reads a field of v out of b.
func goGet(f Placed, v string) string {
	name := v + "." + camel(f.Name)
	switch f.Kind {
	case U8:
		return fmt.Sprintf("%s = b[%d]", name, f.At)
	case Seconds:
		return fmt.Sprintf("%s = binary.LittleEndian.Uint32(b[%d:])", name, f.At)
	case Key:
		return fmt.Sprintf("copy(%s[:], b[%d:])", name, f.At)
	case Amount:
		return fmt.Sprintf("%s = market.Amount(binary.LittleEndian.Uint64(b[%d:]))", name, f.At)
	case Time:
		return fmt.Sprintf("%s = int64(binary.LittleEndian.Uint64(b[%d:]))", name, f.At)
	}
	return fmt.Sprintf("%s = binary.LittleEndian.Uint64(b[%d:])", name, f.At)
}
