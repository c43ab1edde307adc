package docs

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// module under test, with types: the packages of the product, in the order of their imports.
type product struct {
	fset *token.FileSet
	pkgs []*checked
	deps types.Importer // reads what go list compiled, for one goroutine at a time
}

type checked struct {
	path  string // below the module: "node/provider"
	files []*ast.File
	types *types.Package
	info  *types.Info
}

var loadProduct = sync.OnceValues(func() (*product, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=Dir,ImportPath,GoFiles,Export,Module", "./node/...",
		"./runtime/...", "./p2p/...", "./escrow/...", "./market/...", "./cmd/gpuai", "./cmd/sandbox")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	own := map[string]*types.Package{}
	exports := map[string]string{}
	p := &product{fset: token.NewFileSet()}
	p.deps = importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var in struct {
			Dir, ImportPath, Export string
			GoFiles                 []string
		}
		if err := d.Decode(&in); errors.Is(err, io.EOF) {
			return p, nil
		} else if err != nil {
			return nil, err
		}
		exports[in.ImportPath] = in.Export
		if !strings.HasPrefix(in.ImportPath, module) {
			continue
		}
		c := &checked{path: strings.TrimPrefix(in.ImportPath, module)}
		for _, name := range in.GoFiles {
			f, err := parser.ParseFile(p.fset, filepath.Join(in.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			c.files = append(c.files, f)
		}
		if err := c.check(p.fset, own, p.deps); err != nil {
			return nil, err
		}
		own[in.ImportPath] = c.types
		p.pkgs = append(p.pkgs, c)
	}
})

// check gives a package its types. Packages of the module are those checked before: a type is one and the same
// everywhere.
func (c *checked) check(fset *token.FileSet, own map[string]*types.Package, rest types.Importer) (err error) {
	c.info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{},
		Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
	}
	cfg := types.Config{Importer: importers{own, rest}}
	c.types, err = cfg.Check(module+c.path, fset, c.files, c.info)
	return err
}

type importers struct {
	own  map[string]*types.Package
	rest types.Importer
}

func (i importers) Import(path string) (*types.Package, error) {
	if p := i.own[path]; p != nil {
		return p, nil
	}
	return i.rest.Import(path)
}

func productOf(t *testing.T) *product {
	t.Helper()
	p, err := loadProduct()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.pkgs) < 25 {
		t.Fatalf("%d packages", len(p.pkgs))
	}
	return p
}

// funcName is a function's name for people: "(*Store).Commit", "sleep".
func funcName(f *types.Func) string {
	recv := f.Signature().Recv()
	if recv == nil {
		return f.Name()
	}
	return types.TypeString(recv.Type(), func(*types.Package) string { return "" }) + "." + f.Name()
}
