package provider

import (
	"context"
	"encoding/binary"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/past"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// TestPage_ManyPastLeases: all of 2,345 past leases are listed, what ended last first, each once, though more of them
// than Leases lists.
func TestPage_ManyPastLeases(t *testing.T) {
	t.Parallel()
	const many, size = 2345, 200
	db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	start := time.Unix(1_700_000_000, 0).UTC()
	var c store.Change
	for i := range many {
		m := market.Lease{Common: market.Common{Side: market.ProviderSide, State: market.Ended,
			Ended: start.Add(time.Duration(i) * time.Minute)}}
		binary.BigEndian.PutUint32(m.ID[:], uint32(i+1))
		past.Put(&c, past.Lease{Tick: rows.Tick{Lease: m}})
		if len(c.Puts) > 1000 || i == many-1 {
			if err := db.Commit(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			c = store.Change{}
		}
	}
	shared := &common{db: db, log: slog.New(slog.DiscardHandler)}
	p := &Provider{common: shared, desk: &desk{common: shared}}
	var next []byte
	for seen, more := 0, true; more; more = next != nil {
		var list []LeaseView
		if list, next, err = p.Page(next, size, false); err != nil || len(list) > size {
			t.Fatalf("%d leases, %v", len(list), err)
		}
		for _, v := range list {
			if n := int(binary.BigEndian.Uint32(v.Lease.ID[:])); n != many-seen {
				t.Fatalf("place %d has lease %d", seen, n)
			}
			seen++
		}
		if next == nil && seen != many {
			t.Errorf("%d leases", seen)
		}
	}
	if list, next, err := p.Page(nil, size, true); len(list) != 0 || next != nil || err != nil {
		t.Errorf("%d past leases are live, %v", len(list), err)
	}
	if list := p.Leases(); len(list) != LeasesKept || !list[0].Lease.Ended.Before(list[1].Lease.Ended) {
		t.Errorf("%d leases at once, the first of %s", len(list), list[0].Lease.Ended)
	}
}
