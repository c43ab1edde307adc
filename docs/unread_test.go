package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// unreadOK: names that nothing reads in product code today, and why each stays.
var unreadOK = map[string]string{
	"market.MakeChannel.Limit":         "an effect whole",
	"market.SignLease.Limit":           "an effect whole",
	"escrow.Decision.Until":            "what waits asks again by its own clock; the vectors of the policy have it",
	"escrow.EncodeChannel":             "the twin of the decoder; tests write accounts by it",
	"escrow.Head.ClusterTag":           "each ledger says it; its conformance test reads it",
	"escrow.Head.Height":               "each ledger says it; its conformance test reads it",
	"escrow.Settle.Sealed":             "a case of the policy",
	"escrow/program.sum":               "embedded: what escrow.so was built from",
	"market.KindService":               "a number of the wire: service jobs come",
	"market.WantJob.Grace":             "a newer wish is told from an older one by it; rigs read Lease.Want",
	"market.WantJob.Phase":             "a newer wish is told from an older one by it; rigs read Lease.Want",
	"market/book.Candidate.Raw":        "the Offer as it was signed",
	"market/book.Candidate.SoftMiss":   "what an explanation counts",
	"market/book.Change.Added":         "a change whole",
	"market/book.Change.Changed":       "a change whole",
	"market/book.Change.Removed":       "a change whole",
	"market/book.Explanation.Unstated": "what an explanation counts",
	"market/book.Rejected.Count":       "what an explanation counts",
	"node.*Node.Store":                 "simulations look into the store of a whole node",
	"node/customer.Config.Away":        "the place of a setting",
	"node/customer.Money.Signed":       "shown to tests",
	"node/indexer/graph.*Schema.SDL":   "what is checked in is compared with it",
	"node/rest.*Sessions.Drop":         "the web app's sign-out",
	"node/rest.*Sessions.SignIn":       "the web app's sign-in",
	"node/rest.PageLimit":              "the tests page by it",
	"node/rest.Serve":                  "a socket that serves at once, for tests",
	"node/rest.placed.Body":            "huma reads it",
	"node/rest.plain.Body":             "huma reads it",
	"node/rest.tagged.Body":            "huma reads it",
	"node/rows.MaxTick":                "a test holds a tick to it",
	"node/store.Entry.Value":           "a row whole",
	"runtime/docker.ending.name":       "a row of a table: what the ending is called",
	"runtime/docker.word.Seen":         "a row of a table: the engine that said it",
	"runtime/job.Device.Minor":         "drivers of other hardware map by it",
	"runtime/job.Found.ContainerID":    "what an owner looks for by hand",
	"runtime/job.Observed.Finished":    "the words of an engine, of the conformance test",
	"runtime/job.Observed.PID":         "the words of an engine, of the conformance test",
	"runtime/job.Observed.Started":     "the words of an engine, of the conformance test",
	"runtime/spec.KeyTable":            "docs/reference/job-file.md is made by it",
}

// usage finds names of a program that nothing reads: fields that are only set, and functions, types, constants,
// variables and methods that no product code names. A field with a tag, or of a type that is compared whole or is a
// map's key, is read without being named; a method may be called through an interface that has one of its name.
type usage struct {
	p       *product
	read    map[types.Object]bool
	whole   map[types.Type]bool // struct types that are compared, hashed or converted
	methods map[string]bool     // of interfaces
}

func usageOf(p *product) *usage {
	u := &usage{p: p, read: map[types.Object]bool{}, whole: map[types.Type]bool{}, methods: map[string]bool{}}
	seen := map[*types.Package]bool{}
	for _, c := range p.pkgs {
		u.interfaces(c.types, seen)
		for e, tv := range c.info.Types {
			if i, ok := tv.Type.(*types.Interface); ok {
				u.addMethods(i)
			}
			if m, ok := tv.Type.Underlying().(*types.Map); ok {
				u.addWhole(m.Key())
			}
			if b, ok := e.(*ast.BinaryExpr); ok && (b.Op == token.EQL || b.Op == token.NEQ) {
				u.addWhole(c.info.TypeOf(b.X))
			}
			if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 && c.info.Types[call.Fun].IsType() {
				u.addWhole(tv.Type)
				u.addWhole(c.info.TypeOf(call.Args[0]))
			}
		}
		for _, f := range c.files {
			u.file(c, f)
		}
	}
	return u
}

func (u *usage) interfaces(p *types.Package, seen map[*types.Package]bool) {
	if seen[p] {
		return
	}
	seen[p] = true
	for _, i := range p.Imports() {
		u.interfaces(i, seen)
	}
	for _, name := range p.Scope().Names() {
		if t, ok := p.Scope().Lookup(name).(*types.TypeName); ok {
			if i, ok := t.Type().Underlying().(*types.Interface); ok {
				u.addMethods(i)
			}
		}
	}
}

func (u *usage) addMethods(i *types.Interface) {
	for m := range i.Methods() {
		u.methods[m.Name()] = true
	}
}

func (u *usage) addWhole(t types.Type) {
	if t == nil {
		return
	}
	if _, ok := t.Underlying().(*types.Struct); ok {
		u.whole[t] = true
		u.whole[t.Underlying()] = true
	}
}

// file notes what a file reads. The target of an assignment and the key of a literal are written.
func (u *usage) file(c *checked, f *ast.File) {
	written := map[*ast.Ident]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, l := range n.Lhs {
				if s, ok := l.(*ast.SelectorExpr); ok && (n.Tok == token.ASSIGN || n.Tok == token.ADD_ASSIGN) {
					written[s.Sel] = true
				}
			}
		case *ast.IncDecStmt:
			if s, ok := n.X.(*ast.SelectorExpr); ok {
				written[s.Sel] = true
			}
		case *ast.CompositeLit:
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if id, ok := kv.Key.(*ast.Ident); ok {
						if v, ok := c.info.Uses[id].(*types.Var); ok && v.IsField() {
							written[id] = true
						}
					}
				}
			}
		case *ast.Ident:
			if o := c.info.Uses[n]; o != nil && !written[n] {
				u.read[origin(o)] = true
			}
		}
		return true
	})
}

func origin(o types.Object) types.Object {
	switch o := o.(type) {
	case *types.Var:
		return o.Origin()
	case *types.Func:
		return o.Origin()
	}
	return o
}

// unread lists what nothing reads, as "market.Lease.Legal".
func (u *usage) unread() (out []string) {
	say := func(c *checked, name string, o types.Object) {
		if !u.read[o] {
			out = append(out, c.path+"."+name)
		}
	}
	for _, c := range u.p.pkgs {
		if strings.HasSuffix(c.path, "test") || c.types.Name() == "main" && !strings.HasPrefix(c.path, "cmd/gpuai") {
			continue
		}
		for _, f := range c.files {
			name := u.p.fset.Position(f.Pos()).Filename
			if strings.HasSuffix(name, ".pb.go") || strings.HasSuffix(name, ".gen.go") {
				continue
			}
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					u.function(c, d, say)
				case *ast.GenDecl:
					for _, s := range d.Specs {
						u.spec(c, s, say)
					}
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func (u *usage) function(c *checked, d *ast.FuncDecl, say func(*checked, string, types.Object)) {
	o := c.info.Defs[d.Name]
	switch {
	case d.Recv == nil && d.Name.Name != "main" && d.Name.Name != "_":
		say(c, d.Name.Name, o)
	case d.Recv != nil && !u.methods[d.Name.Name] && !wellKnown[d.Name.Name]:
		say(c, funcName(o.(*types.Func)), o)
	}
}

func (u *usage) spec(c *checked, s ast.Spec, say func(*checked, string, types.Object)) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.Name != "_" {
				say(c, n.Name, c.info.Defs[n])
			}
		}
	case *ast.TypeSpec:
		say(c, s.Name.Name, c.info.Defs[s.Name])
		st, ok := s.Type.(*ast.StructType)
		if t := c.info.Defs[s.Name].Type(); !ok || u.whole[t] || u.whole[t.Underlying()] {
			return
		}
		for _, f := range st.Fields.List {
			if f.Tag != nil {
				continue
			}
			for _, n := range f.Names {
				if n.Name != "_" {
					say(c, s.Name.Name+"."+n.Name, c.info.Defs[n])
				}
			}
		}
	}
}

// TestUnread_NothingIsKeptForNobody: what product code does not read goes, or stands in the list with its reason.
func TestUnread_NothingIsKeptForNobody(t *testing.T) {
	t.Parallel()
	left := map[string]bool{}
	for _, name := range usageOf(productOf(t)).unread() {
		if left[name] = true; unreadOK[name] == "" {
			t.Errorf("nothing reads %s", name)
		}
	}
	for name := range unreadOK {
		if !left[name] {
			t.Errorf("%s is read, or gone: take it from the list", name)
		}
	}
}

// TestUnread_EachKindIsFound checks a small program in which all that is called dead is dead.
func TestUnread_EachKindIsFound(t *testing.T) {
	t.Parallel()
	p := &product{fset: token.NewFileSet()}
	f, err := parser.ParseFile(p.fset, "x.go", `package x
		type T struct { Used, deadSet, deadNever int; Tagged int `+"`json:\"t\"`"+` }
		type Key struct{ a, b int }
		type deadType int
		type caller interface{ Called() }
		const deadConst = 1
		var deadVar = map[Key]int{{a: 1}: 2}
		func (T) Called() {}
		func (T) DeadMethod() {}
		func dead() {}
		func F(c caller) int { x := T{Used: 1, deadSet: 2}; x.deadSet = 3; c.Called(); return x.Used }
		var _ = F`, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	c := &checked{path: "x", files: []*ast.File{f}}
	if err := c.check(p.fset, nil, nil); err != nil {
		t.Fatal(err)
	}
	p.pkgs = []*checked{c}
	got := usageOf(p).unread()
	want := []string{"x.T.DeadMethod", "x.T.deadNever", "x.T.deadSet", "x.dead", "x.deadConst", "x.deadType",
		"x.deadVar"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
