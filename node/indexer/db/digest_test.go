package db_test

import (
	"fmt"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

// TestPart_PagesAreWhole: the pages of a part have all its rows once, also where a transaction lies over a page's end.
func TestPart_PagesAreWhole(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		c := db.Change{}
		for n := range 1900 {
			for i := range 3 {
				c.Txs = append(c.Txs, db.Tx{Sig: fmt.Sprintf("s%05d", n), Inner: int64(i - 1), Slot: int64(n + 1),
					At: 5, Result: db.TxFailed})
			}
		}
		apply(t, d, start, c)
		want, err := d.Digest(t.Context(), 1850)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []int64{0, 77} {
			var n, pages int64
			for after := ""; ; pages++ {
				rows, next, err := d.Part(t.Context(), 1850, part, after)
				if err != nil {
					t.Fatal(err)
				}
				n += int64(len(rows))
				if after = next; next == "" {
					break
				}
			}
			if n != want[part].N || n == 0 || pages == 0 {
				t.Errorf("part %d: %d rows on %d pages, want %d", part, n, pages+1, want[part].N)
			}
		}
	})
}
