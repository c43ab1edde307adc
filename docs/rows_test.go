package docs

import (
	"go/ast"
	"go/types"
	"reflect"
	"strings"
	"testing"
)

// storedRows are types that reach the store's JSON in other ways than by store.Row.
var storedRows = []string{
	"node/provider.channelRow", "node/customer/purse.Row", // what a role keeps in node/till's row
	"escrow/solana.record", "runtime/docker.row", // rows of others: journal and jobs
}

// TestRows_NamesAreTheirOwn: each field of a stored JSON row says its name there, so that a field which is renamed in
// Go is still found in the stores of before.
func TestRows_NamesAreTheirOwn(t *testing.T) {
	t.Parallel()
	p := productOf(t)
	w := rowWalk{t: t, seen: map[types.Type]bool{}}
	calls := 0
	for _, c := range p.pkgs {
		for _, f := range c.files {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if ok && len(call.Args) == 1 && isRow(c, call.Fun) {
					calls++
					w.walk(c.info.TypeOf(call.Args[0]))
				}
				return true
			})
		}
		for _, name := range storedRows {
			if path, local, _ := strings.Cut(name, "."); path == c.path {
				o := c.types.Scope().Lookup(local)
				if o == nil {
					t.Fatalf("%s is no type", name)
				}
				w.walk(o.Type())
			}
		}
	}
	if calls < 10 || len(w.seen) < 25 {
		t.Errorf("%d calls of store.Row, %d types: are these all?", calls, len(w.seen))
	}
}

// isRow reports whether fun is node/store's Row.
func isRow(c *checked, fun ast.Expr) bool {
	id, ok := fun.(*ast.Ident)
	if sel, is := fun.(*ast.SelectorExpr); is {
		id, ok = sel.Sel, true
	}
	if !ok {
		return false
	}
	f, ok := c.info.Uses[id].(*types.Func)
	return ok && f.Name() == "Row" && f.Pkg().Path() == module+"node/store"
}

// rowWalk goes through all that encoding/json would write.
type rowWalk struct {
	t    *testing.T
	seen map[types.Type]bool
}

func (w rowWalk) walk(typ types.Type) {
	if typ == nil || w.seen[typ] || speaks(typ) {
		return
	}
	w.seen[typ] = true
	switch u := typ.Underlying().(type) {
	case *types.Pointer:
		w.walk(u.Elem())
	case *types.Slice:
		w.walk(u.Elem())
	case *types.Array:
		w.walk(u.Elem())
	case *types.Map:
		w.walk(u.Elem())
	case *types.Struct:
		for i := range u.NumFields() {
			f := u.Field(i)
			name, _, _ := strings.Cut(reflect.StructTag(u.Tag(i)).Get("json"), ",")
			if name == "-" || !f.Exported() && !f.Embedded() {
				continue
			}
			if name == "" && !f.Embedded() {
				w.t.Errorf("%s.%s is stored by its Go name: give it a tag", typ, f.Name())
			}
			w.walk(f.Type())
		}
	}
}

// speaks reports whether a type has its own text.
func speaks(typ types.Type) bool {
	set := types.NewMethodSet(types.NewPointer(typ))
	return set.Lookup(nil, "MarshalJSON") != nil || set.Lookup(nil, "MarshalText") != nil
}
