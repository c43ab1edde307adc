package customer

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/shelf"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/spec"
)

// shelve puts n orders into an archive, a day after another, each with a lease, a name and two labels.
func shelve(t *testing.T, a *archive, n int, start time.Time) {
	t.Helper()
	for i := range n {
		f := spec.NewFile("busybox")
		f.Name, f.Labels = fmt.Sprintf("name%d", i%2), map[string]string{"n": fmt.Sprint(i), "all": "yes"}
		at := start.Add(time.Duration(i) * 24 * time.Hour).UTC()
		id := market.OrderID{byte(i + 1)}
		var m market.Lease
		m.ID, m.Side, m.State = market.LeaseID{byte(i + 1), 7}, market.CustomerSide, market.Ended
		o := orderRow{ID: id, Request: Request{Key: fmt.Sprint(i), File: f}, Created: at,
			Purchase: market.Purchase{ID: id, Stage: market.StageOver, Since: at},
			LeaseID:  m.ID, Lease: &m}
		var c store.Change
		a.put(&c, &o)
		if err := a.db.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// TestArchive_Pages: forwards and backwards, all of them or those of a label or a name, each once and in order.
func TestArchive_Pages(t *testing.T) {
	t.Parallel()
	db := openTestStore(t, filepath.Join(t.TempDir(), "d", "state.db"))
	defer db.Close()
	a := &archive{db: db}
	shelve(t, a, 11, time.Unix(1_700_000_000, 0))
	for word, want := range map[string]int{"": 11, "#all=yes": 11, "#n=4": 1, "#n=1": 1, "#n=": 0, "=name0": 6,
		"=name": 0} {
		for _, backwards := range []bool{false, true} {
			var seen []orderRow
			for next, more := []byte(nil), true; more; more = next != nil {
				list, place, err := a.page(word, next, 3, backwards)
				if err != nil {
					t.Fatal(err)
				}
				seen, next = append(seen, list...), place
			}
			if len(seen) != want {
				t.Errorf("%q, backwards %v: %d orders, want %d", word, backwards, len(seen), want)
			}
			for i := 1; i < len(seen); i++ {
				if seen[i].Created.Before(seen[i-1].Created) != backwards {
					t.Errorf("%q, backwards %v: %d is out of order", word, backwards, i)
				}
			}
		}
	}
	if o, found, err := a.get(market.OrderID{3}); !found || err != nil || o.Lease.ID != (market.LeaseID{3, 7}) ||
		o.Lease.State != market.Ended {
		t.Errorf("%+v, %v, %v", o, found, err)
	}
}

// TestArchive_Prune_After90Days: with all that names it and its folder; one whose outputs wait stays.
func TestArchive_Prune_After90Days(t *testing.T) {
	t.Parallel()
	db := openTestStore(t, filepath.Join(t.TempDir(), "d", "state.db"))
	defer db.Close()
	a, start := &archive{db: db}, time.Unix(1_700_000_000, 0)
	shelve(t, a, 11, start)
	s := newSpool(&Config{Spool: t.TempDir()}, fakeFiled{}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	put(t, s.Outputs(market.OrderID{2}), 1, 0)
	put(t, s.path(market.OrderID{3}, "log"), 1, 0)
	if err := a.prune(t.Context(), s, start.Add(shelf.Life+5*24*time.Hour-time.Minute)); err != nil {
		t.Fatal(err)
	}
	for bucket, want := range map[string]int{store.BucketOwnPast: 7, store.BucketOwnTimes: 7,
		store.BucketOwnWords: 7 * 5} {
		rows, err := db.Page(bucket, nil, 100, false)
		if err != nil || len(rows) != want {
			t.Errorf("%s has %d rows, want %d, %v", bucket, len(rows), want, err)
		}
	}
	if _, err := os.Stat(s.path(market.OrderID{3}, "")); err == nil {
		t.Error("the folder of an order that is forgotten stays")
	}
	if _, found, err := a.get(market.OrderID{2}); !found || err != nil {
		t.Error("an order whose outputs wait is forgotten", err)
	}
}
