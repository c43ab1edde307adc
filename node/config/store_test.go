package config

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestIndexerStore_UnknownDatabase is refused by the key's name: it is no file of that name.
func TestIndexerStore_UnknownDatabase(t *testing.T) {
	t.Parallel()
	for store, ok := range map[string]bool{"": true, "/tmp/index.db": true, "postgres:///index": true,
		"postgresql://host/index": true, "mysql://host/index": false, "sqlite:///tmp/x": false} {
		_, err := Load(Options{Path: file(t, "[indexer]\nstore = \""+store+"\"\n"),
			Env: []string{"HOME=" + t.TempDir()}})
		if ok != (err == nil) {
			t.Errorf("%q: %v", store, err)
		}
		if !ok && (market.CodeOf(err) != market.CodeConfigInvalid || !strings.Contains(err.Error(), "indexer.store") ||
			strings.Contains(err.Error(), store)) {
			t.Errorf("%q: %v", store, err)
		}
	}
}
