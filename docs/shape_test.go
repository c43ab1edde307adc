package docs

import (
	"cmp"
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// No struct of the second floor is larger: what is needs owners.
const (
	maxMethods = 25
	maxFields  = 20
)

// shape is a struct's size, as it is declared: promoted methods and fields are their owners'.
type shape struct {
	name            string
	methods, fields int
}

func (s shape) tooLarge() bool { return s.methods > maxMethods || s.fields > maxFields }

// shapes measures the structs of packages, the largest first.
func shapes(all []source, in func(dir string) bool) []shape {
	found := map[string]*shape{}
	at := func(s source, name string) *shape {
		key := s.path[:strings.LastIndex(s.path, "/")+1] + name
		if found[key] == nil {
			found[key] = &shape{name: key}
		}
		return found[key]
	}
	structs := map[string]bool{}
	for _, s := range all {
		if s.test || !in(s.path[:strings.LastIndex(s.path, "/")+1]) {
			continue
		}
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					at(s, receiver(d)).methods++
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					if st, ok := ts.Type.(*ast.StructType); ok {
						sh := at(s, ts.Name.Name)
						structs[sh.name] = true
						for _, f := range st.Fields.List {
							sh.fields += max(1, len(f.Names))
						}
					}
				}
			}
		}
	}
	var out []shape
	for name, s := range found {
		if structs[name] {
			out = append(out, *s)
		}
	}
	slices.SortFunc(out, func(a, b shape) int {
		return cmp.Or(b.methods+b.fields-a.methods-a.fields, strings.Compare(a.name, b.name))
	})
	return out
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return fmt.Sprintf("%T", t)
		}
	}
}

func secondFloor(dir string) bool {
	return dir == "runtime/docker/" || strings.HasPrefix(dir, "node/")
}

func TestShape_LargestStructs(t *testing.T) {
	t.Parallel()
	all := shapes(sources(t), secondFloor)
	if len(all) < 100 {
		t.Fatalf("%d structs", len(all))
	}
	for _, s := range all[:10] {
		t.Logf("%-32s %3d methods %3d fields", s.name, s.methods, s.fields)
	}
	for _, s := range all {
		if s.tooLarge() {
			t.Errorf("%s has %d methods and %d fields: at most %d and %d", s.name, s.methods, s.fields, maxMethods,
				maxFields)
		}
	}
}

func TestShape_TooLarge_IsFound(t *testing.T) {
	t.Parallel()
	many := "package x\ntype T struct{}\n"
	for i := range maxMethods + 1 {
		many += fmt.Sprintf("func (*T) m%d() {}\n", i)
	}
	wide := "package x\ntype T struct{ a, b int; " + strings.Repeat("c;", maxFields-1) + " }\n"
	for name, c := range map[string]struct {
		text string
		bad  bool
	}{
		"methods": {many, true}, "fields": {wide, true},
		"enough": {strings.Replace(wide, "a, b", "a", 1), false},
	} {
		got := shapes([]source{parsed(t, "node/x/x.go", c.text)}, secondFloor)
		if len(got) != 1 || got[0].tooLarge() != c.bad {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
