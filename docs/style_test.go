package docs

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// exempt: file and rule -> why the rule does not hold there.
var exempt = map[string]string{"cmd/gpuai/tree.go columns": "a template, where a line break is output"}

// source is one parsed Go file of the module; generated ones are left out.
type source struct {
	path  string // relative to the root
	lines int
	wide  []int // lines over maxColumns that could be broken
	test  bool
	ast   *ast.File
}

// maxColumns of a line, a tab counted as four. A raw string, a literal without a place to break it and a table in a
// comment may be wider.
const maxColumns = 120

var unbreakable = regexp.MustCompile("`|^\t*//(\t|  )|\"[^\" ]{60,}\"")

// wideLines are the numbers of a file's lines that are too wide without need.
func wideLines(b []byte) (out []int) {
	n := 0
	for line := range bytes.Lines(b) {
		n++
		line = bytes.TrimRight(line, "\n")
		if utf8.RuneCount(line)+3*bytes.Count(line, []byte("\t")) > maxColumns && !unbreakable.Match(line) {
			out = append(out, n)
		}
	}
	return out
}

func importsOf(t *testing.T, file string) (out []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// sources walks the checkout: hidden folders, node_modules and testdata are not ours to judge.
func sources(t *testing.T) (out []source) {
	t.Helper()
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != ".." && (n == "node_modules" || n == "testdata" || strings.HasPrefix(n, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, b, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if ast.IsGenerated(f) {
			return nil
		}
		rel, err := filepath.Rel("..", p)
		if err != nil {
			return err
		}
		out = append(out, source{
			filepath.ToSlash(rel), bytes.Count(b, []byte("\n")), wideLines(b), strings.HasSuffix(p, "_test.go"), f,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// findings are the rules that one file breaks, as "rule: what".
func findings(s source) (out []string) {
	say := func(rule, what string) {
		if _, ok := exempt[s.path+" "+rule]; !ok {
			out = append(out, rule+": "+what)
		}
	}
	if limit := map[bool]int{false: 500, true: 800}[s.test]; s.lines > limit {
		say("length", strconv.Itoa(s.lines)+" lines, limit "+strconv.Itoa(limit))
	}
	if len(s.wide) > 0 {
		say("columns", fmt.Sprintf("over %d in lines %v", maxColumns, s.wide))
	}
	for _, i := range s.ast.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); p == "log" || p == "math/rand" ||
			strings.HasPrefix(p, "github.com/stretchr/") {
			say("import", p)
		}
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if _, ok := n.(*ast.GoStmt); ok {
			say("go", "a bare go statement: use errgroup or sync.WaitGroup.Go")
		}
		return true
	})
	for _, d := range s.ast.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			say("init", "init function")
		}
		if !s.test {
			for _, name := range undocumented(d) {
				say("doc", name+" has no doc comment")
			}
		}
	}
	return out
}

// undocumented returns exported names of a declaration without a comment; methods of unexported types and methods that
// only implement an interface of the standard library explain themselves.
func undocumented(d ast.Decl) (out []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if !d.Name.IsExported() || d.Doc != nil {
			return nil
		}
		if d.Recv != nil {
			t := d.Recv.List[0].Type
			if s, ok := t.(*ast.StarExpr); ok {
				t = s.X
			}
			if x, ok := t.(*ast.IndexExpr); ok {
				t = x.X
			}
			if id, ok := t.(*ast.Ident); !ok || !id.IsExported() || wellKnown[d.Name.Name] {
				return nil
			}
		}
		out = append(out, d.Name.Name)
	case *ast.GenDecl:
		if d.Tok == token.IMPORT || d.Doc != nil {
			return nil
		}
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
					out = append(out, s.Name.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil {
					out = append(out, s.Names[0].Name)
				}
			}
		}
	}
	return out
}

// wellKnown methods implement an interface of the standard library or of an iterator and need no comment.
var wellKnown = map[string]bool{
	"String": true, "Error": true, "Unwrap": true, "Is": true, "LogValue": true, "MarshalJSON": true,
	"UnmarshalJSON": true, "MarshalText": true,
	"UnmarshalText": true, "Len": true, "Less": true, "Swap": true, "Read": true, "Write": true, "Close": true,
	"ReadByte": true,
}

func TestStyle(t *testing.T) {
	t.Parallel()
	all := sources(t)
	if len(all) < 100 {
		t.Fatalf("%d files", len(all))
	}
	documented, folders := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		for _, f := range findings(s) {
			t.Errorf("%s: %s", s.path, f)
		}
		if !s.test {
			dir := filepath.Dir(s.path)
			folders[dir] = true
			if s.ast.Doc != nil && len(s.ast.Doc.Text()) >= 60 {
				documented[dir] = true
			}
		}
	}
	for dir := range folders {
		if !documented[dir] {
			t.Errorf("%s: package comment missing or too short", dir)
		}
	}
	for key, why := range exempt {
		file, _, _ := strings.Cut(key, " ")
		if _, err := os.Stat(filepath.Join("..", file)); err != nil || why == "" {
			t.Errorf("exemption %q: %v, reason %q", key, err, why)
		}
	}
}

// TestStyle_EachRuleFails shows that each rule can fail.
func TestStyle_EachRuleFails(t *testing.T) {
	t.Parallel()
	for rule, text := range map[string]string{
		"length": "package x\n" + strings.Repeat("\n", 501),
		"import": "package x\nimport _ \"math/rand\"\n",
		"go":     "package x\nfunc f() { go f() }\n",
		"init":   "package x\nfunc init() {}\n",
		"doc":    "package x\nfunc F() {}\n",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		got := findings(source{path: "x.go", lines: strings.Count(text, "\n"), ast: f})
		if len(got) != 1 || !strings.HasPrefix(got[0], rule+":") {
			t.Errorf("rule %s finds %q", rule, got)
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\ntype T int\nvar V int\nconst C = 1\nfunc (T) "+
		"M() {}\n// F is documented.\nfunc F() {}\n", parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if got := findings(source{path: "x.go", ast: f}); len(got) != 4 {
		t.Errorf("undocumented names: %q", got)
	}
}
