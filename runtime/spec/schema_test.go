package spec

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler() // checks the document against draft 2020-12
	if err := c.AddResource("job", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("job")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree is a job file as a validator takes it.
func tree(t interface{ Fatal(...any) }, raw []byte) any {
	n, fault := parseTree(raw)
	if fault != nil {
		t.Fatal(fault)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(plainJSON(n)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// plainJSON types the words of YAML as its core schema does: numbers are numbers, unless they are quoted.
func plainJSON(n *node) []byte {
	if n.kind == nodeScalar && !n.quoted && !json.Valid([]byte(n.text)) {
		return word(n.text).json(nil)
	}
	out := *n
	for i := range out.list {
		raw := plainJSON(out.list[i])
		out.list[i] = &node{kind: nodeScalar, text: string(raw)}
	}
	for i, p := range out.keys {
		raw := plainJSON(p.value)
		out.keys[i] = pair{word(p.key.text), &node{kind: nodeScalar, text: string(raw)}}
	}
	return out.json(nil)
}

// TestSchema_TakesEveryExample: of the help, of the docs and of these tests.
func TestSchema_TakesEveryExample(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	page, err := os.ReadFile("../../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n\\{\"job\": (.*?)\\}\n```").FindSubmatch(page)
	if m == nil {
		t.Fatal("the page of the API shows no order")
	}
	for name, raw := range map[string]string{
		"help": Example(), "test": example, "page": string(m[1]), "least": "image: a\n",
		"short": "image: a\ngpu: rtx-4090:2\nretry: 1\nlimits: {max_total: 0.02, max_rate: 1}\n",
		"one": "image: a\ngpu: {any_of: t4, cuda: 12.4}\nplacement: {exclude: " +
			"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp}\n",
	} {
		if _, faults := ParseFile([]byte(raw)); len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
		}
		if err := s.Validate(tree(t, []byte(raw))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchema_TakesWhatIsWritten(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	rapid.Check(t, func(t *rapid.T) {
		f := anyFile(t)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(f.Document()))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err != nil {
			t.Fatalf("%s: %v", f.Document(), err)
		}
	})
}

// TestSchema_RefusesWhatTheParserRefuses: the faults that an editor can show.
func TestSchema_RefusesWhatTheParserRefuses(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	for _, raw := range []string{
		"gpu: none\n", "image: a\nmemroy: 4GiB\n", "image: [a]\n", "image: a\nmemory: 4\n", "image: a\nmemory: 4Gi\n",
		"image: a\nlimits: {max_duration: 90}\n", "image: a\nlimits: {max_rates: 1}\n", "image: a\nkind: service\n",
		"image: a\noutputs: [{path: /etc}]\n", "image: a\ninputs: [{from: x}]\n", "image: a\ncpu: 0\n",
		"image: a\ngpu: {count: 65}\n", "image: a\nretry: 4\n", "image: a\nname: A b\n", "image: a\negress: lan\n",
		"image: a\nenv: [A=b]\n", "image: a\nargs: sh\n", "image: a\nworkdir: tmp\n",
	} {
		if _, faults := ParseFile([]byte(raw)); len(faults) == 0 {
			t.Errorf("%q: the parser takes it", raw)
		}
		if err := s.Validate(tree(t, []byte(raw))); err == nil {
			t.Errorf("%q: the schema takes it", raw)
		}
	}
}
