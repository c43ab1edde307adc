package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSet_KeepsMode: who could read the settings before still can, and nobody else.
func TestSet_KeepsMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o600, 0o640, 0o644} {
		p := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(p, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Set(Options{Path: p, Env: []string{"HOME=/home/x"}},
			map[string]string{"node.log": "debug"}); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%v became %v, %v", mode, info.Mode(), err)
		}
	}
	fresh := filepath.Join(t.TempDir(), "config.toml")
	if _, err := Set(Options{Path: fresh, Env: []string{"HOME=/home/x"}},
		map[string]string{"node.log": "debug"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}
