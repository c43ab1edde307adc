package db_test

import (
	"slices"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

// TestSearch_ModelByAnyName: what people call a model finds it, as it does on the command line.
func TestSearch_ModelByAnyName(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		apply(t, d, start, db.Change{Rigs: []db.Rig{rig(0, 1, "rtx-4090", 1, 1, 1), rig(1, 1, "h100", 1, 1, 1)}})
		for text, want := range map[string]string{"RTX 4090": "rtx-4090", "NVIDIA GeForce RTX 4090": "rtx-4090",
			"4090": "rtx-4090", "rtx-": "rtx-4090", "rt": "rtx-4090", "H100": "h100", "%%": "", "5090": ""} {
			found, err := d.Search(t.Context(), text, 3)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(found, func(f db.Found) bool { return f.Kind == "model" })
			if (i < 0) != (want == "") || i >= 0 && found[i].ID != want {
				t.Errorf("%q: %v", text, found)
			}
		}
	})
}
