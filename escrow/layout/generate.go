package main

import "strings"

// words returns a snake_case or kebab-case name's words.
func words(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' })
}

// camel returns "CloseDelay" for "close_delay".
func camel(name string) string {
	var b strings.Builder
	for _, w := range words(name) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// lower returns "closeDelay" for "close_delay".
func lower(name string) string {
	c := camel(name)
	return strings.ToLower(c[:1]) + c[1:]
}

// pad reports whether a field only fills space.
func (f Field) pad() bool { return f.Kind == Pad2 || f.Kind == Pad4 || f.Kind == Pad32 }

// Placed is a field with its offset in bytes.
type Placed struct {
	Field
	At int
}

// place returns the fields without fillers, with their offsets, and where the last one ends. at is the first offset.
func place(at int, fields []Field) (out []Placed, end int) {
	for _, f := range fields {
		if !f.pad() {
			out = append(out, Placed{f, at})
		}
		at += f.Kind.Size()
	}
	return out, at
}

// Places returns an account's fields with their offsets, and its length.
func (a Account) Places() ([]Placed, int) { return place(len(a.Discriminator), a.Fields) }

// Places returns the fields of an instruction's data with their offsets, and its length with the tag.
func (i Instruction) Places() ([]Placed, int) { return place(1, i.Data) }
