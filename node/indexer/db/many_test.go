package db_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/indexer/db"
)

// TestHour_ManyModels: of models that anybody may make up an hour keeps so many, those that answered first, and each
// with what is wanted of it.
func TestHour_ManyModels(t *testing.T) {
	t.Parallel()
	m := &db.Market{At: start}
	for i := range 3_000 {
		c := db.Class{Name: fmt.Sprintf("m%05d", i), Rigs: 9, Prices: []db.Prices{{Mint: sol, N: 1}}}
		if i == 2_999 {
			c.Rigs, c.Reachable = 1, 8
		}
		m.Classes = append(m.Classes, c)
		m.Bids = append(m.Bids, db.Bids{Class: c.Name, Wanted: int64(i)})
	}
	got := m.Hour()
	i := slices.IndexFunc(got, func(b db.Bucket) bool { return b.Key == "m02999" })
	if len(got) != 2_000 || i < 0 || got[i].Wanted != 2_999 || got[i].At != start.Truncate(time.Hour).UnixMilli() {
		t.Errorf("%d buckets, at %d", len(got), i)
	}
	if b := m.Bid("m00007"); b.Wanted != 7 || m.Bid("none").Class != "none" || m.Bid("zz").Wanted != 0 {
		t.Errorf("%+v", b)
	}
	if c, ok := m.Class("m02998"); !ok || c.Name != "m02998" || m.Classes[0].Name != "m00000" {
		t.Errorf("%v %+v", ok, c)
	}
}
