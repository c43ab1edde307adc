package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
)

// TestDoctor_Fix: an open data folder is found, closed after that was said, and then found no more; nothing else is
// touched.
func TestDoctor_Fix(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	data := filepath.Join(b.dir, "data")
	state := filepath.Join(data, "state.db")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	doctor := func(more ...string) (int, api.Doctor, string) {
		t.Helper()
		code, out, errOut := b.run("",
			append([]string{"--set", "node.data_dir=" + data, "doctor", "--only", "rig", "--offline", "--json"},
				more...)...)
		var d api.Doctor
		if err := json.Unmarshal([]byte(out), &d); err != nil || d.Schema != "gpuai.doctor/v1" {
			t.Fatalf("%v: %s", err, out)
		}
		return code, d, errOut
	}
	open := func(d api.Doctor) (n int) {
		for _, f := range d.Findings {
			if f.Code == market.CodeDataDirOpen && f.Level == "fail" &&
				slices.ContainsFunc(f.Fix, func(x rest.Fix) bool { return strings.HasPrefix(x.Command, "chmod ") }) {
				n++
			}
		}
		return n
	}
	if code, d, _ := doctor(); code != exitDoctor || open(d) != 2 || d.Level != "fail" {
		t.Errorf("exit %d: %+v", code, d)
	}
	_, d, said := doctor("--fix")
	if open(d) != 0 || !strings.Contains(said, "fixes: chmod 700 "+data+"\n") ||
		!strings.Contains(said, "fixes: chmod 600 "+state+"\n") {
		t.Errorf("%s; %+v", said, d)
	}
	for path, want := range map[string]os.FileMode{data: 0o700, state: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// TestDoctor_List: each code that doctor may find stands in the table of codes.
func TestDoctor_List(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	code, out, _ := b.run("", "doctor", "--list", "--json")
	var l struct {
		Problems []struct {
			Code market.Code
			Fix  string
		}
	}
	if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 || len(l.Problems) < 20 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	for _, p := range l.Problems {
		if m, ok := p.Code.Meaning(); !ok || p.Fix == "" || p.Fix != m.Plain().Fix {
			t.Errorf("%s: fix %q, in the table %q", p.Code, p.Fix, m.Fix)
		}
	}
}
