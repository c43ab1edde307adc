package config

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestSet_ListAsTheFileWritesIt: a list may be typed as the settings file has it, or as words with commas.
func TestSet_ListAsTheFileWritesIt(t *testing.T) {
	t.Parallel()
	both := []string{"customer", "indexer"}
	for text, want := range map[string][]string{
		"[]": {}, "": {}, `["customer"]`: both[:1], `["customer", "indexer"]`: both, "customer, indexer": both,
		` ["customer","indexer"] `: both, `"customer",indexer`: both,
	} {
		o := Options{Path: filepath.Join(t.TempDir(), "config.toml"), Env: []string{"HOME=" + t.TempDir()}}
		if _, err := Set(o, map[string]string{"node.network": "localnet", "node.roles": text}); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if l, err := Load(o); err != nil || !slices.Equal(l.Node.Roles, want) {
			t.Errorf("%q: %q, %v", text, l.Node.Roles, err)
		}
	}
}
