package docs

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var (
	kebab    = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	codeRow  = regexp.MustCompile("^\\| `([^`]+)` \\|")
	lists    = []string{"commands", "leases", "jobs"}
	codeUses = []*regexp.Regexp{
		regexp.MustCompile(`\bCode:\s*"([^"]+)"`),                             // market.Error, spec.Fault, events
		regexp.MustCompile(`(?m)^\t*(?:\w+\.)?Code(?:, [\w.]+)* = "([^"]+)"`), // the same, by assignment
		regexp.MustCompile(`\bat\(\s*"(spec-[^"]+)"`),                         // runtime/spec's reader
		regexp.MustCompile(`\bRefuse\(\s*"([^"]+)"`),
		// helpers whose first argument it is
		regexp.MustCompile(`\b(?:imageError|refuse|ends|refused|cEnd|stop)\(\s*"([a-z0-9-]+)"`),
		regexp.MustCompile(`\{\s*"([^"]+)",\s+(?:Warn|Fail),\s`), // node/health
		regexp.MustCompile(`"([^"]+)":\s+Fault[A-Z]`),            // market's end reasons
		regexp.MustCompile(`"([^"]+)":\s+\{\s*[0-9]{3},\s`),      // node/api
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

// codeDoc is one row of a list: a code, what it means and what to do; ends of leases also have a fault.
type codeDoc struct{ code, list, fault, means, fix string }

// codeDocs reads the lists in docs/errors.
func codeDocs(t *testing.T) (out []codeDoc) {
	t.Helper()
	for _, list := range lists {
		b, err := os.ReadFile(filepath.Join("errors", list+".md"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(line)
			if !codeRow.MatchString(line) {
				continue
			}
			c := strings.Split(strings.Trim(line, "|"), "|")
			for i := range c {
				c[i] = strings.TrimSpace(c[i])
			}
			d := codeDoc{code: strings.Trim(c[0], "`"), list: list}
			switch len(c) {
			case 3:
				d.means, d.fix = c[1], c[2]
			case 4:
				d.fault, d.means, d.fix = c[1], c[2], c[3]
			default:
				t.Errorf("%s.md: %d cells in the row of %s", list, len(c), d.code)
			}
			out = append(out, d)
		}
	}
	return out
}

// page is CODE.md: what a code's row says, under the code's own name.
func (d codeDoc) page() string {
	upper := func(s string) string {
		r, n := utf8.DecodeRuneInString(s)
		return string(unicode.ToUpper(r)) + s[n:]
	}
	text := "# `" + d.code + "`\n\n" + upper(d.means) + ".\n"
	if d.fault != "" {
		text += "\nAn end of a lease; fault: " + d.fault +
			". It decides nothing about money: what was metered is paid.\n"
	}
	return text + "\nWhat to do: " + d.fix + ".\n\nOne of [these codes](" + d.list + ".md).\n"
}

// TestCodes_OneList compares the codes in the source with docs/errors, both ways.
func TestCodes_OneList(t *testing.T) {
	t.Parallel()
	listed, used := map[string]string{}, map[string]string{}
	for _, d := range codeDocs(t) {
		if other, twice := listed[d.code]; twice {
			t.Errorf("%s stands in %s and in %s", d.code, other, d.list)
		}
		if !kebab.MatchString(d.code) || d.means == "" || d.fix == "" {
			t.Errorf("%s.md: row of %q is not kebab-case, says nothing or has no fix", d.list, d.code)
		}
		listed[d.code] = d.list
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
				t.Errorf("%s: code %q is in no list in docs/errors", s.path, code)
			}
		}
	}
	for code, list := range listed {
		if _, ok := used[code]; !ok {
			t.Errorf("%s.md: nothing makes code %q", list, code)
		}
	}
}

// TestCodes_PagePerCode: each page beside the lists says what they say. GPUAI_WRITE_PAGES=1 writes the pages (make
// pages).
func TestCodes_PagePerCode(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for _, d := range codeDocs(t) {
		want[filepath.Join("errors", d.code+".md")] = d.page()
	}
	have, err := filepath.Glob("errors/*.md")
	if err != nil {
		t.Fatal(err)
	}
	write := os.Getenv("GPUAI_WRITE_PAGES") != ""
	for _, path := range have {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		if want[path] != "" || name == "README" || slices.Contains(lists, name) {
			continue
		}
		if write {
			err = errors.Join(err, os.Remove(path))
		} else {
			t.Errorf("%s is the page of no code: make pages", path)
		}
	}
	for path, text := range want {
		if write {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		} else if b, _ := os.ReadFile(path); string(b) != text {
			t.Errorf("%s is missing or old: make pages", path)
		}
	}
	if err != nil || len(want) < 100 {
		t.Errorf("%d pages, %v", len(want), err)
	}
}

func TestCodes_EachFormIsFound(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`&market.Error{Code: "a-b", Op: "x"}`, `o.Code, o.Detail = "a-b", r.Failed`,
		`return market.Refuse("a-b", market.KindDenied, "")`,
		`s.ends("a-b", by, ev, "")`, `return imageError("a-b", detail, err)`,
		"\te.Code, e.Kind, e.Hint = \"a-b\", 1, 2",
		"\t{\"a-b\", Warn, \"none\", \"t\", \"f\"},", `"a-b": FaultNone,`, "\t\"a-b\":   {409, 1, \"you\", \"t\"},",
	} {
		if got := codesIn(text); len(got) != 1 || got[0] != "a-b" {
			t.Errorf("%s: found %v", text, got)
		}
	}
}
