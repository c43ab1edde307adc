package spec

import (
	"encoding/json"
	"fmt"
	"strings"
)

// schema is a part of a JSON Schema.
type schema = map[string]any

// Schema returns the JSON Schema (draft 2020-12) of a job file. What it takes is right but for rules between keys and
// the values' own grammar; a few odd spellings that ParseFile takes, such as a number for a name, it refuses.
func Schema() []byte {
	f := blankFile()
	s := objectSchema(f.keys())
	s["$schema"], s["$id"] = "https://json-schema.org/draft/2020-12/schema", "urn:gpuai:schema:"+schemaID
	s["title"], s["required"] = "gpuai job file", []string{"image"}
	out, _ := json.MarshalIndent(s, "", "  ") // words and numbers always marshal
	return append(out, '\n')
}

func objectSchema(keys []key) schema {
	props := schema{}
	for _, k := range keys {
		p := k.value.schema()
		p["description"] = k.about
		props[k.name] = p
	}
	return schema{"type": "object", "properties": props, "additionalProperties": false}
}

// Example is a job file that says what most jobs need, each key with what it is for.
func Example() string {
	f := blankFile()
	var b strings.Builder
	exampleOf(&b, "", f.keys())
	return b.String()
}

func exampleOf(b *strings.Builder, indent string, keys []key) {
	for _, k := range keys {
		line := indent + k.name + ":"
		if indent == "  - " {
			indent = "    "
		}
		if k.example != "" {
			fmt.Fprintf(b, "%-34s # %s\n", line+" "+k.example, k.about)
			continue
		}
		var inner strings.Builder
		in := "  "
		if k.value.set != nil && k.value.expand == nil {
			in = "  - "
		}
		exampleOf(&inner, in, k.value.keys)
		if inner.Len() > 0 {
			fmt.Fprintf(b, "%-34s # %s\n%s", line, k.about, inner.String())
		}
	}
}

// KeyTable is the list of all keys as a table of Markdown.
func KeyTable() string {
	f := blankFile()
	var b strings.Builder
	b.WriteString("| key | flag | value | default | about |\n|---|---|---|---|---|\n")
	keyRows(&b, "", f.keys())
	return b.String()
}

func keyRows(b *strings.Builder, at string, keys []key) {
	for _, k := range keys {
		flag, def := "", ""
		switch x := k.flag; {
		case x.Word && k.name == "args":
			flag = "after `--`"
		case x.Word:
			flag = "a word"
		case x.Name != "":
			flag = "`--" + x.Name + "`"
		}
		if n := k.value.write(); n != nil && n.kind == nodeScalar && n.text[0] != '0' {
			def = "`" + n.text + "`"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s | %s |\n", at, k.name, flag, k.value.want, def, k.about)
		end := "."
		if k.value.set != nil && k.value.expand == nil {
			end = "[]."
		}
		keyRows(b, at+k.name+end, k.value.keys)
	}
}
