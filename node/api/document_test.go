package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gpuai/gpuai/node/api"
)

// page is the document that is checked in.
const page = "../../docs/reference/openapi-node.json"

type object = map[string]any

// document is the one of this build, with the comments of the types as descriptions.
func document(t *testing.T) object {
	t.Helper()
	m := api.New(api.Config{}, slog.New(slog.DiscardHandler))
	defer m.Close()
	raw, err := m.Document()
	if err != nil {
		t.Fatal(err)
	}
	doc := object{}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	types := comments(t, ".", "../rest")
	for name, s := range in(doc, "components", "schemas") {
		c := types[name]
		if schema, _ := s.(object); c != nil && schema["description"] == nil {
			describe(schema, c)
		}
	}
	return doc
}

func in(o object, path ...string) object {
	for _, p := range path {
		o, _ = o[p].(object)
	}
	return o
}

func describe(schema object, c *typeComment) {
	if c.text != "" {
		schema["description"] = c.text
	}
	for name, p := range in(schema, "properties") {
		if prop, _ := p.(object); prop["description"] == nil && c.fields[name] != "" {
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
	out[strings.ToUpper(ts.Name.Name[:1])+ts.Name.Name[1:]] = c
}

func words(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

func pretty(t *testing.T, doc object) []byte {
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

// written compares a file with what it must be, or writes it: make docs.
func written(t *testing.T, path string, want []byte) {
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

func TestDocument_IsCheckedIn(t *testing.T) {
	t.Parallel()
	written(t, page, pretty(t, document(t)))
}

// TestDocument_IsValid: OpenAPI's own schema judges the document, JSON Schema 2020-12 each schema in it.
func TestDocument_IsValid(t *testing.T) {
	t.Parallel()
	doc := parsed(t, pretty(t, document(t)))
	rules, err := os.ReadFile("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	const id = "https://spec.openapis.org/oas/3.1/schema/2022-10-07"
	for name, resource := range map[string]any{id: parsed(t, rules), "node.json": doc} {
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
	for name, schema := range in(doc.(object), "components", "schemas") {
		s, err := c.Compile("node.json#/components/schemas/" + name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		examples, _ := schema.(object)["examples"].([]any)
		for _, e := range examples {
			if err := s.Validate(e); err != nil {
				t.Errorf("an example of %s: %v", name, err)
			}
		}
	}
}

func parsed(t *testing.T, b []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// lint is what a reader of an operation needs.
func lint(doc object) (out []string) {
	say := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	ids := map[string]bool{}
	camel := regexp.MustCompile(`^[a-z][a-zA-Z]*$`)
	for path, item := range in(doc, "paths") {
		for method, o := range item.(object) {
			op, name := o.(object), method+" "+path
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
			answers := in(op, "responses")
			if answers["400"] == nil || answers["500"] == nil {
				say("%s does not say how it fails", name)
			}
			for status, r := range answers {
				if ref, _ := r.(object)["$ref"].(string); ref != "" {
					r = in(doc, strings.Split(ref, "/")[1:]...)
				}
				if d, _ := r.(object)["description"].(string); d == "" {
					say("%s: %s has no description", name, status)
				}
				if status >= "400" && in(r.(object), "content")["application/problem+json"] == nil {
					say("%s: %s is no problem document", name, status)
				}
			}
			params, _ := op["parameters"].([]any)
			for _, p := range params {
				if p.(object)["description"] == nil {
					say("%s: %v has no description", name, p.(object)["name"])
				}
			}
		}
	}
	used := string(must(json.Marshal(doc)))
	for name := range in(doc, "components", "schemas") {
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

func TestDocument_Lint(t *testing.T) {
	t.Parallel()
	for _, finding := range lint(document(t)) {
		t.Error(finding)
	}
	// the linter itself
	bad := object{"paths": object{"/a": object{"get": object{"responses": object{"404": object{}}}}},
		"components": object{"schemas": object{"Lonely": object{}}}}
	if got := lint(bad); len(got) != 7 {
		t.Errorf("of a bad document it finds %q", got)
	}
}

// TestDocument_Table: the table of docs/reference/api.md comes from the document, in the order of the routes.
func TestDocument_Table(t *testing.T) {
	t.Parallel()
	const path, head, foot = "../../docs/reference/api.md", "| endpoint | key | answer | about |\n|---|---|---|---|\n",
		"\n## "
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), head)
	_, after, ok2 := strings.Cut(rest, foot)
	if !ok || !ok2 {
		t.Fatal("the page has no table")
	}
	doc, m := document(t), api.New(api.Config{}, slog.New(slog.DiscardHandler))
	defer m.Close()
	var b strings.Builder
	for _, rt := range m.Routes() {
		key := map[bool]string{true: "yes "}[rt.Keyed]
		op := in(doc, "paths", rt.Path, strings.ToLower(rt.Method))
		fmt.Fprintf(&b, "| `%s %s` | %s| %s | %s |\n", rt.Method, rt.Path, key, answer(op), rt.Summary)
	}
	written(t, path, []byte(before+head+b.String()+foot+after))
}

// answer names what an operation gives when all is well.
func answer(op object) string {
	for status, r := range in(op, "responses") {
		if status >= "400" {
			continue
		}
		if status = strings.TrimPrefix(status+" ", "200 "); status == "101 " {
			return "101 frames"
		}
		for media, m := range in(r.(object), "content") {
			ref, _ := in(m.(object), "schema")["$ref"].(string)
			if name := ref[strings.LastIndex(ref, "/")+1:]; name != "" {
				return status + name
			}
			return status + media
		}
	}
	return ""
}
