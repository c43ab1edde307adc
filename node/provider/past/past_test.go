package past_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/past"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/shelf"
	"github.com/gpuai/gpuai/node/store"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// fill ends n leases, a minute after another, beginning at start.
func fill(t *testing.T, db *store.Store, n int, start time.Time) {
	t.Helper()
	var c store.Change
	for i := range n {
		m := market.Lease{Common: market.Common{ID: market.LeaseID{byte(i >> 8), byte(i)}, Side: market.ProviderSide,
			State: market.Ended, Ended: start.Add(time.Duration(i) * time.Minute).UTC(), Code: "exited"}}
		past.Put(&c, past.Lease{Tick: rows.Tick{Lease: m, Receipt: []byte("receipt")}, Customer: market.NodeID{7},
			Order:   past.OrderOf(market.Order{Payer: market.Address{8}, Image: "busybox", RAM: 1 << 20}),
			Devices: []market.DeviceID{{9}}})
		c.Puts = append(c.Puts, store.Put{Bucket: store.BucketLeases, Key: m.ID[:], Value: []byte("documents")})
		if len(c.Puts) > 1000 || i == n-1 {
			if err := db.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			c = store.Change{}
		}
	}
}

// TestPage_NewestFirst: page after page, each lease once; one lease is found by its id, whole.
func TestPage_NewestFirst(t *testing.T) {
	t.Parallel()
	db, start := open(t), time.Unix(1_700_000_000, 0)
	fill(t, db, 25, start)
	var seen []market.LeaseID
	var next []byte
	for pages := 0; pages == 0 || next != nil; pages++ {
		var list []past.Lease
		var err error
		if list, next, err = past.Page(db, next, 10); err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			seen = append(seen, l.Tick.Lease.ID)
		}
	}
	if len(seen) != 25 {
		t.Fatalf("%d leases", len(seen))
	}
	for i, id := range seen {
		if want := (market.LeaseID{0, byte(24 - i)}); id != want {
			t.Errorf("place %d has %s", i, id)
		}
	}
	l, found, err := past.Get(db, market.LeaseID{0, 3})
	if err != nil || !found {
		t.Fatal(found, err)
	}
	want := market.Lease{Common: market.Common{ID: market.LeaseID{0, 3}, Side: market.ProviderSide, State: market.Ended,
		Ended: start.Add(3 * time.Minute).UTC(), Code: "exited"}}
	if diff := cmp.Diff(want, l.Tick.Lease); diff != "" || string(l.Tick.Receipt) != "receipt" ||
		l.Order.Image != "busybox" || l.Customer != (market.NodeID{7}) || len(l.Devices) != 1 {
		t.Errorf("%+v\n%s", l, diff)
	}
	if _, found, err := past.Get(db, market.LeaseID{9, 9}); found || err != nil {
		t.Error("a lease that never was", found, err)
	}
}

// TestPrune_After90Days: rows and documents go, in as many steps as it takes, and no younger ones.
func TestPrune_After90Days(t *testing.T) {
	t.Parallel()
	db, start := open(t), time.Unix(1_700_000_000, 0)
	fill(t, db, 1200, start)
	if err := past.Prune(t.Context(), db, start.Add(shelf.Life+1100*time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{store.BucketPast, store.BucketPastEnds, store.BucketLeases} {
		list, err := db.Page(bucket, nil, 2000, false)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 99 {
			t.Errorf("%s has %d rows", bucket, len(list))
		}
	}
}
