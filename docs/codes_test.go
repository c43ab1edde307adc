package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	kebab    = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	codeRow  = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]*) ?\\|$")
	codeUses = []*regexp.Regexp{
		regexp.MustCompile(`\bCode:\s*"([^"]+)"`),                             // market.Error, spec.Fault, events
		regexp.MustCompile(`(?m)^\t*(?:\w+\.)?Code(?:, [\w.]+)* = "([^"]+)"`), // the same, by assignment
		regexp.MustCompile(`\bat\("(spec-[^"]+)"`),                            // runtime/spec's reader
		regexp.MustCompile(`\bRefuse\("([^"]+)"`),
		regexp.MustCompile(`(?m)^\t\{"([^"]+)", (?:Warn|Fail), `), // node/health
		regexp.MustCompile(`"([^"]+)": +Fault[A-Z]`),              // market's end reasons
		regexp.MustCompile(`(?m)^\t"([^"]+)": +\{[0-9]{3}, `),     // node/api
	}
)

// codesIn are the codes that a source text makes.
func codesIn(text string) (out []string) {
	for _, re := range codeUses {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			out = append(out, m[1])
		}
	}
	return out
}

// TestCodes_OneList compares the codes in the source with docs/errors, both ways.
func TestCodes_OneList(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("errors/*.md")
	if err != nil || len(pages) < 3 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	listed, used := map[string]string{}, map[string]string{}
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range codeRow.FindAllStringSubmatch(string(b), -1) {
			if other, twice := listed[m[1]]; twice {
				t.Errorf("%s stands in %s and in %s", m[1], other, page)
			}
			if !kebab.MatchString(m[1]) || strings.TrimSpace(m[2]) == "" {
				t.Errorf("%s: row of %q is not kebab-case or says nothing", page, m[1])
			}
			listed[m[1]] = page
		}
	}
	for _, s := range sources(t) {
		if s.test || strings.Contains(s.path, "test/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join("..", s.path))
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range codesIn(string(b)) {
			used[code] = s.path
			if _, ok := listed[code]; !ok {
				t.Errorf("%s: code %q is not in docs/errors", s.path, code)
			}
		}
	}
	for code, page := range listed {
		if _, ok := used[code]; !ok {
			t.Errorf("%s: nothing makes code %q", page, code)
		}
	}
}

func TestCodes_EachFormIsFound(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`&market.Error{Code: "a-b", Op: "x"}`, `o.Code, o.Detail = "a-b", r.Failed`, `return market.Refuse("a-b", market.KindDenied, "")`,
		"\te.Code, e.Kind, e.Hint = \"a-b\", 1, 2",
		"\t{\"a-b\", Warn, \"none\", \"t\", \"f\"},", `"a-b": FaultNone,`, "\t\"a-b\":   {409, 1, \"you\", \"t\"},",
	} {
		if got := codesIn(text); len(got) != 1 || got[0] != "a-b" {
			t.Errorf("%s: found %v", text, got)
		}
	}
}
