package docs

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/gpuai/gpuai/"

// pkg is what go list says of one package; Files of other systems and build tags are in the Ignored lists.
type pkg struct {
	Dir, ImportPath                    string
	Imports, TestImports, XTestImports []string
	IgnoredGoFiles                     []string
}

// row is one row of the import table.
type row struct {
	name                    string
	packages, banned, allow []string
}

// match reports whether the import path p is what the pattern names; base is the pattern's own package for
// "test-packages".
func match(pattern, p string) bool {
	own, isOwn := strings.CutPrefix(p, module)
	first, _, _ := strings.Cut(p, "/")
	switch pattern {
	case "...":
		return isOwn
	case "third-party":
		return !isOwn && strings.Contains(first, ".")
	case "test-packages":
		return isOwn && strings.HasSuffix(path.Base(own), "test")
	}
	if isOwn {
		p = own
	} else if top, below := strings.CutSuffix(pattern, "/..."); below &&
		!strings.Contains(strings.Split(top, "/")[0], ".") {
		return false // a folder of ours, not the standard library's package of this name
	}
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == dir || strings.HasPrefix(p, dir+"/")
	}
	return p == pattern
}

func anyMatch(patterns []string, p string) bool {
	for _, x := range patterns {
		if match(x, p) {
			return true
		}
	}
	return false
}

// violations returns the imports of one package that the row forbids.
func (r row) violations(importPath string, imports []string) (bad []string) {
	if !anyMatch(r.packages, importPath) || anyMatch(r.allow, importPath) {
		return nil
	}
	for _, i := range imports {
		if anyMatch(r.banned, i) {
			bad = append(bad, i)
		}
	}
	return bad
}

var code = regexp.MustCompile("`([^`]+)`")

func spans(cell string) (out []string) {
	for _, m := range code.FindAllStringSubmatch(cell, -1) {
		out = append(out, m[1])
	}
	return out
}

func importTable(t *testing.T) (rows []row) {
	t.Helper()
	b, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "## Imports")
	if !ok {
		t.Fatal("no section Imports")
	}
	for line := range strings.Lines(table) {
		c := strings.Split(line, "|")
		if len(c) != 6 || strings.Contains(c[1], "---") || strings.TrimSpace(c[1]) == "row" {
			continue
		}
		rows = append(rows, row{strings.TrimSpace(c[1]), spans(c[2]), spans(c[3]), spans(c[4])})
	}
	return rows
}

func goList(t *testing.T) (pkgs []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=Dir,ImportPath,Imports,TestImports,XTestImports,IgnoredGoFiles",
		"./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		for _, f := range p.IgnoredGoFiles {
			in := importsOf(t, path.Join(p.Dir, f))
			if strings.HasSuffix(f, "_test.go") {
				p.TestImports = append(p.TestImports, in...)
			} else {
				p.Imports = append(p.Imports, in...)
			}
		}
		pkgs = append(pkgs, p)
	}
}

func TestImports_TableMatchesGoList(t *testing.T) {
	t.Parallel()
	rows, pkgs := importTable(t), goList(t)
	if len(rows) < 15 || len(pkgs) < 25 {
		t.Fatalf("%d rows, %d packages", len(rows), len(pkgs))
	}
	for _, r := range rows {
		if len(r.packages) == 0 || len(r.banned) == 0 {
			t.Errorf("row %s is empty", r.name)
		}
		for _, p := range pkgs {
			imports := p.Imports
			if r.name == "banned" {
				imports = append(append(append([]string(nil), p.Imports...), p.TestImports...), p.XTestImports...)
			}
			for _, bad := range r.violations(p.ImportPath, imports) {
				t.Errorf("row %s: %s imports %s", r.name, p.ImportPath, bad)
			}
		}
	}
}

// TestImports_EachRowFails gives each row one package that breaks it, and one like it that does not.
func TestImports_EachRowFails(t *testing.T) {
	t.Parallel()
	fixtures := map[string]struct{ pkg, bad, good string }{
		"pure":           {module + "market/book", "go.etcd.io/bbolt", "time"},
		"island-p2p":     {module + "p2p/offers", module + "escrow", module + "market"},
		"island-escrow":  {module + "escrow/solana", module + "runtime/job", module + "escrow"},
		"island-runtime": {module + "runtime/docker", module + "node/store", module + "runtime/job"},
		"top":            {module + "node/lease", module + "cmd/gpuai", module + "p2p"},
		"libp2p":         {module + "node/provider", "github.com/libp2p/go-libp2p", module + "p2p"},
		"wire-is-plain": {module + "p2p/wire", "github.com/libp2p/go-libp2p/core/peer",
			"github.com/multiformats/go-multiaddr"},
		"solana-go": {module + "escrow", "github.com/gagliardetto/solana-go", "filippo.io/edwards25519"},
		"docker":    {module + "runtime/sandbox", "github.com/docker/docker/client", "os"},
		"nftables":  {module + "runtime/docker", "github.com/google/nftables/expr", "github.com/google/go-cmpx"},
		"nvml":      {module + "runtime/gpu", "github.com/NVIDIA/go-nvml/pkg/nvml", module + "runtime/gpu/nvml"},
		"bbolt":     {module + "node/customer", "go.etcd.io/bbolt", module + "node/store"},
		"huma":      {module + "cmd/gpuai", "github.com/danielgtaylor/huma/v2", module + "node/api"},
		"sql":       {module + "node/store", "database/sql", "sort"},
		"graphql": {module + "node/indexer/public", "github.com/vektah/gqlparser/v2/ast",
			module + "node/indexer/graph"},
		"parquet": {module + "node/indexer/public", "github.com/parquet-go/parquet-go",
			module + "node/indexer/table"},
		"web":       {module + "node/web", module + "node/rest", "net/http"},
		"cobra":     {module + "node/api", "github.com/spf13/cobra", "flag"},
		"test-only": {module + "node/provider", module + "escrow/escrowtest", module + "escrow"},
		"banned":    {module + "p2p", "math/rand", "math/rand/v2"},
	}
	for _, r := range importTable(t) {
		f, ok := fixtures[r.name]
		if !ok {
			t.Errorf("row %s has no fixture", r.name)
			continue
		}
		if got := r.violations(f.pkg, []string{f.bad, f.good}); len(got) != 1 || got[0] != f.bad {
			t.Errorf("row %s finds %v, want only %s", r.name, got, f.bad)
		}
		for _, a := range r.allow {
			if got := r.violations(module+strings.TrimSuffix(a, "/..."), []string{f.bad}); got != nil {
				t.Errorf("row %s refuses %s in %s", r.name, f.bad, a)
			}
		}
		delete(fixtures, r.name)
	}
	for name := range fixtures {
		t.Errorf("row %s has gone from the table", name)
	}
}

// TestDependencies_RowPerImport: a row in dependencies.md for each module that our code imports, and none for others.
func TestDependencies_RowPerImport(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(gomod)) {
		if f := strings.Fields(line); len(f) >= 2 && strings.HasPrefix(f[1], "v") {
			modules = append(modules, f[0])
		}
	}
	moduleOf := func(imp string) (best string) {
		for _, m := range modules {
			if (imp == m || strings.HasPrefix(imp, m+"/")) && len(m) > len(best) {
				best = m
			}
		}
		return best
	}
	used := map[string]string{}
	for _, p := range goList(t) {
		for _, list := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for _, i := range list {
				if m := moduleOf(i); m != "" {
					used[m] = p.ImportPath
				}
			}
		}
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		if c := strings.Split(line, "|"); len(c) == 7 && len(spans(c[1])) == 1 {
			listed[spans(c[1])[0]] = true
		}
	}
	for m, by := range used {
		if !listed[m] {
			t.Errorf("%s (imported by %s) has no row in dependencies.md", m, by)
		}
	}
	for m := range listed {
		if moduleOf(m) != m {
			t.Errorf("dependencies.md lists %s, go.mod does not", m)
		}
	}
}
