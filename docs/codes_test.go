package docs

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

var kebab = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// TestCodes_Table: each row is complete, and no code stands twice.
func TestCodes_Table(t *testing.T) {
	t.Parallel()
	seen := map[market.Code]bool{}
	for _, m := range market.Meanings() {
		switch {
		case seen[m.Code]:
			t.Errorf("%s stands twice", m.Code)
		case !kebab.MatchString(string(m.Code)) || len(m.Code) > 32:
			t.Errorf("%q is not kebab-case of at most 32 bytes", m.Code)
		case m.Title == "" || m.Means == "" || m.Fix == "" || m.Kind == 0:
			t.Errorf("the row of %s is not complete: %+v", m.Code, m)
		case strings.ContainsAny(m.Means+m.Fix, "|\n") || strings.HasSuffix(m.Means, ".") ||
			strings.HasSuffix(m.Fix, "."):
			t.Errorf("the texts of %s are no cells of a table: %q, %q", m.Code, m.Means, m.Fix)
		case m.Place == market.AtEnd && m.Fault == 0:
			t.Errorf("%s ends leases and says nobody's fault", m.Code)
		case (m.Status == 0) != (m.Exit == 0) || (m.Status == 0) != (m.Whose == ""):
			t.Errorf("%s has a part of status, exit code and whose it is", m.Code)
		}
		seen[m.Code] = true
	}
	if len(seen) < 100 {
		t.Errorf("%d codes", len(seen))
	}
}

// codesOf finds what a program does with codes: the constants of the table, where product code makes each of them, and
// faults. A constant that is only compared with, or a key of a table, is not made.
type codesOf struct {
	p      *product
	rows   map[types.Object]market.Code
	made   map[market.Code]bool
	faults []string
}

func isCode(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == "Code" && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == module+"market"
}

// inTable reports whether the table of codes is in the file at pos.
func (c *codesOf) inTable(pos token.Pos) bool {
	return strings.HasPrefix(c.p.place(pos), "market/codes")
}

// place is a position below the checkout, "market/codes.go:7".
func (p *product) place(pos token.Pos) string {
	at := p.fset.Position(pos)
	file := filepath.ToSlash(at.Filename)
	if abs, err := filepath.Abs(".."); err == nil {
		file = strings.TrimPrefix(file, filepath.ToSlash(abs)+"/")
	}
	return strings.TrimPrefix(file, "../") + ":" + strconv.Itoa(at.Line)
}

// declared collects the constants of the table.
func (c *codesOf) declared() {
	for _, pkg := range c.p.pkgs {
		for id, o := range pkg.info.Defs {
			if k, ok := o.(*types.Const); ok && isCode(k.Type()) && c.inTable(id.Pos()) {
				c.rows[o] = market.Code(constant.StringVal(k.Val()))
			}
		}
	}
}

// file walks one file. quiet: below a comparison, a case or a key.
func (c *codesOf) file(pkg *checked, f *ast.File) {
	var walk func(n ast.Node, quiet bool)
	each := func(quiet bool, nodes ...ast.Expr) {
		for _, n := range nodes {
			if n != nil {
				walk(n, quiet)
			}
		}
	}
	walk = func(root ast.Node, quiet bool) {
		ast.Inspect(root, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op == token.EQL || n.Op == token.NEQ {
					each(true, n.X, n.Y)
					return false
				}
			case *ast.CaseClause:
				each(true, n.List...)
				for _, s := range n.Body {
					walk(s, quiet)
				}
				return false
			case *ast.KeyValueExpr:
				if t := pkg.info.TypeOf(n.Key); t != nil && isCode(t) {
					each(true, n.Key)
					each(quiet, n.Value)
					return false
				}
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "Contains" || s.Sel.Name == "Fails") {
					each(true, n.Args...)
					return false
				}
				c.logged(n)
			}
			if e, ok := n.(ast.Expr); ok {
				return c.expr(pkg, e, quiet)
			}
			return true
		})
	}
	walk(f, false)
}

// expr looks at one constant of the type; false: what is below it is part of it.
func (c *codesOf) expr(pkg *checked, e ast.Expr, quiet bool) bool {
	tv := pkg.info.Types[e]
	if id, ok := e.(*ast.Ident); ok && pkg.info.Uses[id] != nil {
		tv.Type = pkg.info.Uses[id].Type()
		if k, ok := pkg.info.Uses[id].(*types.Const); ok {
			tv.Value = k.Val()
		}
	}
	if tv.Value == nil || tv.Type == nil || !isCode(tv.Type) || constant.StringVal(tv.Value) == "" {
		return true
	}
	id, ok := e.(*ast.Ident)
	if s, is := e.(*ast.SelectorExpr); is {
		id, ok = s.Sel, true
	}
	code, known := market.Code(""), false
	if ok {
		code, known = c.rows[pkg.info.Uses[id]]
	}
	switch {
	case !known && !c.inTable(e.Pos()):
		c.faults = append(c.faults,
			c.p.place(e.Pos())+": "+tv.Value.ExactString()+" is no constant of the table of codes")
	case known && !quiet && !c.inTable(e.Pos()):
		c.made[code] = true
	}
	return false
}

// logged refuses a literal as the value of a log's "code": the log takes any type.
func (c *codesOf) logged(call *ast.CallExpr) {
	for i, a := range call.Args[:max(0, len(call.Args)-1)] {
		name, ok := a.(*ast.BasicLit)
		if v, lit := call.Args[i+1].(*ast.BasicLit); ok && lit && name.Value == `"code"` && v.Kind == token.STRING {
			c.faults = append(c.faults, c.p.place(v.Pos())+": "+v.Value+" is logged as a code and is no constant")
		}
	}
}

func codesIn(p *product) *codesOf {
	c := &codesOf{p: p, rows: map[types.Object]market.Code{}, made: map[market.Code]bool{}}
	c.declared()
	for _, pkg := range p.pkgs {
		if strings.HasSuffix(pkg.path, "test") {
			continue
		}
		for _, f := range pkg.files {
			c.file(pkg, f)
		}
	}
	return c
}

// TestCodes_OneTable: what product code says is in the table, and what is in the table is said by product code.
func TestCodes_OneTable(t *testing.T) {
	t.Parallel()
	c := codesIn(productOf(t))
	for _, f := range c.faults {
		t.Error(f)
	}
	rows := map[market.Code]bool{}
	for _, code := range c.rows {
		rows[code] = true
		if _, ok := code.Meaning(); !ok {
			t.Errorf("constant %q has no row", code)
		}
	}
	for _, m := range market.Meanings() {
		if !rows[m.Code] {
			t.Errorf("the row of %q has no constant", m.Code)
		}
		if !c.made[m.Code] {
			t.Errorf("nothing makes %q", m.Code)
		}
	}
}

// TestCodes_EachFaultIsFound checks a small program: each line that says "bad" has one fault, and only "used" is made.
func TestCodes_EachFaultIsFound(t *testing.T) {
	t.Parallel()
	p := &product{fset: token.NewFileSet()}
	ours := map[string]*types.Package{}
	for _, x := range []struct{ path, file, text string }{
		{"market", "market/codes.go", `package market
			type Code string
			const ( CodeUsed Code = "used"; CodeDead Code = "dead" )
			type Error struct { Code Code; Text string }`},
		{"node", "node/x.go", `package node
			import "` + module + `market"
			func log(...any) {}
			func F(c market.Code) error {
				e := market.Error{Text: "free"}
				e.Code = "bad"
				e.Code = market.Code("bad")
				log("bad", "code", "bad")
				log(map[market.Code]string{"bad": "x"})
				const own market.Code = "bad"
				switch c { case market.CodeDead: }
				log(map[market.Code]int{market.CodeDead: 1}[c], c == market.CodeDead, "code", market.CodeUsed, e)
				return nil
			}`},
	} {
		f, err := parser.ParseFile(p.fset, filepath.Join("..", x.file), x.text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		c := &checked{path: x.path, files: []*ast.File{f}}
		if err := c.check(p.fset, ours, nil); err != nil {
			t.Fatal(err)
		}
		ours[module+x.path] = c.types
		p.pkgs = append(p.pkgs, c)
	}
	c := codesIn(p)
	if len(c.faults) != 5 {
		t.Errorf("%d faults: %q", len(c.faults), c.faults)
	}
	if !c.made["used"] || c.made["dead"] {
		t.Errorf("made: %v", c.made)
	}
}

// heads of the lists and of their parts, in docs/errors.
var heads = []struct {
	place market.Place
	title string // begins a new file
	intro string
}{
	{market.AtCommand, "Codes of commands, settings and doctor", ""},
	{market.AtDoctor, "", "Doctor's, beside those above; `gpuai doctor --list` prints level and effect of each."},
	{market.AtRefusal, "Codes between customer and provider", "Refusals: the other side says no. Nothing is owed."},
	{market.AtEnd, "",
		"Ends: why a lease is over. The fault decides nothing about money: what was metered is paid."},
	{market.AtJobFile, "Codes of job files and their flags",
		"Each names file, line, column and key, what was given and what is wanted."},
}

// codeLists are the files of docs/errors that the table makes: path -> text.
func codeLists() map[string]string {
	out := map[string]string{}
	for _, h := range heads {
		path := filepath.Join("errors", h.place.List()+".md")
		text := "\n"
		if h.title != "" {
			text = "<!-- Made from the table of codes in market/codes*.go by `make docs`. -->\n# " + h.title + "\n\n"
		}
		if h.intro != "" {
			text += h.intro + "\n\n"
		}
		if h.place == market.AtEnd {
			text += "| code | fault | what it means | what to do |\n|---|---|---|---|\n"
		} else {
			text += "| code | what it means | what to do |\n|---|---|---|\n"
		}
		for _, m := range market.Meanings() {
			if m.Place == h.place {
				text += codeLine(m) + "\n"
			}
		}
		out[path] += text
	}
	return out
}

// codeLine is a row of a list. The anchor is what Problem.type and links to one code name.
func codeLine(m market.Meaning) string {
	cells := []string{`<a id="` + string(m.Code) + "\"></a>`" + string(m.Code) + "`"}
	if m.Place == market.AtEnd {
		cells = append(cells, m.Fault.String())
	}
	return "| " + strings.Join(append(cells, m.Means, m.Fix), " | ") + " |"
}

// TestCodes_Lists compares docs/errors with the table. GPUAI_WRITE_DOCS=1 writes it (make docs).
func TestCodes_Lists(t *testing.T) {
	t.Parallel()
	for path, text := range codeLists() {
		written(t, path, text)
	}
	have, err := filepath.Glob("errors/*.md")
	if err != nil || len(have) != 4 {
		t.Errorf("docs/errors holds %q, %v", have, err)
	}
}

// written compares a file that is made from the source with what it should be, or writes it.
func written(t *testing.T, path, text string) {
	t.Helper()
	if os.Getenv("GPUAI_WRITE_DOCS") != "" {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	} else if b, err := os.ReadFile(path); err != nil || string(b) != text {
		t.Errorf("%s is missing or old: make docs (%s)", path, strconv.Quote(firstDiff(string(b), text)))
	}
}

// firstDiff is the first line of want that got has not.
func firstDiff(got, want string) string {
	lines := strings.Split(got, "\n")
	for i, w := range strings.Split(want, "\n") {
		if i >= len(lines) || lines[i] != w {
			return w
		}
	}
	return "more lines than it should have"
}
