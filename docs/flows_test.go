package docs

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// names are what the module declares: "escrow.Account.Sign", "market.Rate", "TestX"; fields and interface methods
// included.
func names(all []source) map[string]bool {
	out := map[string]bool{}
	for _, s := range all {
		dir := path.Dir(s.path)
		if s.test {
			for _, d := range s.ast.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					out[f.Name.Name] = true
				}
			}
			continue
		}
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					t := d.Recv.List[0].Type
					if p, ok := t.(*ast.StarExpr); ok {
						t = p.X
					}
					if id, ok := t.(*ast.Ident); ok {
						name = id.Name + "." + name
					}
				}
				out[dir+"."+name] = true
				if strings.HasSuffix(path.Base(dir), "test") { // suites live in test packages
					out[d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, sp := range d.Specs {
					switch sp := sp.(type) {
					case *ast.ValueSpec:
						for _, n := range sp.Names {
							out[dir+"."+n.Name] = true
						}
					case *ast.TypeSpec:
						out[dir+"."+sp.Name.Name] = true
						for _, f := range members(sp.Type) {
							out[dir+"."+sp.Name.Name+"."+f] = true
						}
					}
				}
			}
		}
	}
	return out
}

func members(t ast.Expr) (out []string) {
	var list *ast.FieldList
	switch t := t.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return nil
	}
	for _, f := range list.List {
		for _, n := range f.Names {
			out = append(out, n.Name)
		}
	}
	return out
}

var (
	symbol = regexp.MustCompile(`^((?:market|p2p|escrow|runtime|node|cmd)(?:/[a-z0-9]+)*)\.[A-Za-z]\w*(\.\w+)?$`)
	test   = regexp.MustCompile(`^(Test|Benchmark|Fuzz)[A-Z]\w*$`)
	file   = regexp.MustCompile(
		`^(market|p2p|escrow|runtime|node|cmd|docs)/[\w./-]+\.(go|rs|mjs|md|txt|so|sum|sh|json|ts|tsx|css)$`)
	link = regexp.MustCompile(`\]\(([\w./-]+)\)`)
)

// missing returns what a text names in code spans that is not there, and how many it looked up.
func missing(text string, have map[string]bool) (bad []string, looked int) {
	for _, s := range spans(text) {
		switch {
		case file.MatchString(s):
			looked++
			if _, err := os.Stat(filepath.Join("..", s)); err != nil {
				bad = append(bad, s)
			}
		case symbol.MatchString(s), test.MatchString(s):
			looked++
			if !have[s] {
				bad = append(bad, s)
			}
		}
	}
	return bad, looked
}

func TestFlows_SymbolsExist(t *testing.T) {
	t.Parallel()
	have := names(sources(t))
	var files []string
	for _, g := range []string{"*.md", "flows/*.md", "adr/*.md", "../README.md"} {
		m, err := filepath.Glob(g)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m...)
	}
	total := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		bad, n := missing(string(b), have)
		total += n
		for _, s := range bad {
			t.Errorf("%s names %s, which is not there", f, s)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(f), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", f, m[1])
			}
		}
	}
	if total < 60 {
		t.Errorf("only %d names looked up", total)
	}
	if bad, _ := missing("`escrow.NoSuch` `market.Rate.NoSuch` `TestNoSuch` `docs/none.md` `escrow.Decide`",
		have); len(bad) != 4 {
		t.Errorf("made-up names found missing: %q", bad)
	}
}

// TestDocs_ReferencesFromCodeExist: comments point only to documents that are there.
func TestDocs_ReferencesFromCodeExist(t *testing.T) {
	t.Parallel()
	ref := regexp.MustCompile(`docs/[\w/.-]+\.md`)
	for _, s := range sources(t) {
		for _, g := range s.ast.Comments {
			for _, m := range ref.FindAllString(g.Text(), -1) {
				if _, err := os.Stat(filepath.Join("..", m)); err != nil {
					t.Errorf("%s refers to %s", s.path, m)
				}
			}
		}
	}
}
