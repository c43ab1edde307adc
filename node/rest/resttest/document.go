package resttest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gpuai/gpuai/node/rest"
)

// Object is one of JSON.
type Object = map[string]any

// Document is the one of a build, with the comments of the types in these folders as descriptions; of two types of
// one name the first folder's.
func Document(t *testing.T, m *rest.Mux, dirs ...string) Object {
	t.Helper()
	raw, err := m.Document()
	if err != nil {
		t.Fatal(err)
	}
	doc := Object{}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	types := comments(t, dirs...)
	for name, s := range In(doc, "components", "schemas") {
		c := types[name]
		if schema, _ := s.(Object); c != nil && schema["description"] == nil {
			describe(schema, c)
		}
	}
	return doc
}

// In is what a path of names leads to, nil if nothing.
func In(o Object, path ...string) Object {
	for _, p := range path {
		o, _ = o[p].(Object)
	}
	return o
}

func describe(schema Object, c *typeComment) {
	if c.text != "" {
		schema["description"] = c.text
	}
	for name, p := range In(schema, "properties") {
		if prop, _ := p.(Object); prop["description"] == nil && c.fields[name] != "" {
			prop["description"] = c.fields[name]
		}
	}
}

// typeComment is what the source says of a struct and of its fields, by their JSON names.
type typeComment struct {
	text   string
	fields map[string]string
	embeds []string
}

func comments(t *testing.T, dirs ...string) map[string]*typeComment {
	t.Helper()
	out := map[string]*typeComment{}
	for _, dir := range dirs {
		err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && p != "." || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
				if err == nil && d.IsDir() && p != "." {
					return fs.SkipDir
				}
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), dir+"/"+p, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if g, ok := n.(*ast.GenDecl); ok {
					for _, spec := range g.Specs {
						typeOf(out, g, spec)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range out {
		for _, e := range c.embeds {
			if out[e] != nil {
				maps.Copy(c.fields, out[e].fields)
			}
		}
	}
	return out
}

func typeOf(out map[string]*typeComment, g *ast.GenDecl, spec ast.Spec) {
	ts, ok := spec.(*ast.TypeSpec)
	if !ok {
		return
	}
	st, ok := ts.Type.(*ast.StructType)
	if !ok {
		return
	}
	c := &typeComment{fields: map[string]string{}, text: words(ts.Doc)}
	if c.text == "" && !g.Lparen.IsValid() {
		c.text = words(g.Doc)
	}
	for _, f := range st.Fields.List {
		id, _ := f.Type.(*ast.Ident)
		if len(f.Names) == 0 && id != nil {
			c.embeds = append(c.embeds, id.Name)
			continue
		}
		if f.Tag == nil {
			continue
		}
		name, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
		c.fields[name] = strings.TrimSpace(words(f.Doc) + " " + words(f.Comment))
	}
	name := strings.ToUpper(ts.Name.Name[:1]) + ts.Name.Name[1:]
	if out[name] == nil { // a folder's own type, not one of the same name in a later folder
		out[name] = c
	}
}

func words(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// Pretty is its text, as it is checked in.
func Pretty(t *testing.T, doc Object) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Written compares a file with what it must be, or writes it: make docs.
func Written(t *testing.T, path string, want []byte) {
	t.Helper()
	if os.Getenv("GPUAI_WRITE_DOCS") != "" {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what this build serves (make docs writes it): %v\n%s", path, err,
			cmp.Diff(strings.Split(string(got), "\n"), strings.Split(string(want), "\n")))
	}
}

//go:embed openapi-3.1.schema.json
var rules []byte

// Valid lets OpenAPI's own schema judge the document, and JSON Schema 2020-12 each schema in it.
func Valid(t *testing.T, document Object) {
	t.Helper()
	doc := Parsed(t, Pretty(t, document))
	c := jsonschema.NewCompiler()
	const id = "https://spec.openapis.org/oas/3.1/schema/2022-10-07"
	for name, resource := range map[string]any{id: Parsed(t, rules), "node.json": doc} {
		if err := c.AddResource(name, resource); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(doc); err != nil {
		t.Error(err)
	}
	for name, schema := range In(doc.(Object), "components", "schemas") {
		s, err := c.Compile("node.json#/components/schemas/" + name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		examples, _ := schema.(Object)["examples"].([]any)
		for _, e := range examples {
			if err := s.Validate(e); err != nil {
				t.Errorf("an example of %s: %v", name, err)
			}
		}
	}
}

// Parsed is a document as the judge of schemas takes it.
func Parsed(t *testing.T, b []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Lint is what a reader of an operation misses.
func Lint(doc Object) (out []string) {
	say := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	ids := map[string]bool{}
	camel := regexp.MustCompile(`^[a-z][a-zA-Z]*$`)
	for path, item := range In(doc, "paths") {
		for method, o := range item.(Object) {
			op, name := o.(Object), method+" "+path
			id, _ := op["operationId"].(string)
			if ids[id] || !camel.MatchString(id) {
				say("%s: operationId %q is taken, or no camelCase", name, id)
			}
			ids[id] = true
			if s, _ := op["summary"].(string); s == "" {
				say("%s has no summary", name)
			}
			if tags, _ := op["tags"].([]any); len(tags) != 1 {
				say("%s has not one tag", name)
			}
			answers := In(op, "responses")
			if answers["400"] == nil || answers["500"] == nil {
				say("%s does not say how it fails", name)
			}
			for status, r := range answers {
				if ref, _ := r.(Object)["$ref"].(string); ref != "" {
					r = In(doc, strings.Split(ref, "/")[1:]...)
				}
				if d, _ := r.(Object)["description"].(string); d == "" {
					say("%s: %s has no description", name, status)
				}
				if status >= "400" && In(r.(Object), "content")["application/problem+json"] == nil {
					say("%s: %s is no problem document", name, status)
				}
			}
			params, _ := op["parameters"].([]any)
			for _, p := range params {
				if p.(Object)["description"] == nil {
					say("%s: %v has no description", name, p.(Object)["name"])
				}
			}
		}
	}
	used := string(must(json.Marshal(doc)))
	for name := range In(doc, "components", "schemas") {
		if !strings.Contains(used, `"#/components/schemas/`+name+`"`) {
			say("nothing uses the schema %s", name)
		}
	}
	slices.Sort(out)
	return out
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err) // of a document that was just read
	}
	return b
}
