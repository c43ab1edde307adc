package api_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest/resttest"
)

// page is the document that is checked in.
const page = "../../docs/reference/openapi-node.json"

type object = resttest.Object

// document is the one of this build, with the comments of the types as descriptions.
func document(t *testing.T) object {
	t.Helper()
	m := api.New(api.Config{}, slog.New(slog.DiscardHandler))
	defer m.Close()
	return resttest.Document(t, m, ".", "../rest")
}

var in = resttest.In

func TestDocument_IsCheckedIn(t *testing.T) {
	t.Parallel()
	resttest.Written(t, page, resttest.Pretty(t, document(t)))
}

func TestDocument_IsValid(t *testing.T) {
	t.Parallel()
	resttest.Valid(t, document(t))
}

func TestDocument_Lint(t *testing.T) {
	t.Parallel()
	for _, finding := range resttest.Lint(document(t)) {
		t.Error(finding)
	}
	// the linter itself
	bad := object{"paths": object{"/a": object{"get": object{"responses": object{"404": object{}}}}},
		"components": object{"schemas": object{"Lonely": object{}}}}
	if got := resttest.Lint(bad); len(got) != 7 {
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
	resttest.Written(t, path, []byte(before+head+b.String()+foot+after))
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
