package customer

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// fakeFiled knows orders by their entries and notes what is said of their files.
type fakeFiled map[market.OrderID]*struct {
	e SpoolEntry
	f Files
}

func (k fakeFiled) resolve(ref string) (market.OrderID, error) { return market.ParseOrderID(ref) }

func (k fakeFiled) filed(id market.OrderID) (SpoolEntry, bool) {
	if k[id] == nil {
		return SpoolEntry{}, false
	}
	k[id].e.Fetched = k[id].f.Fetched
	return k[id].e, true
}

func (k fakeFiled) note(_ context.Context, id market.OrderID, f func(*Files)) error {
	f(&k[id].f)
	return nil
}

// spooled puts outputs of a size and an age into a spool, and the order into what it knows.
func spooled(t *testing.T, s *Spool, know fakeFiled, n byte, size int, age time.Duration, e SpoolEntry,
	fetched bool) market.OrderID {
	t.Helper()
	id := market.OrderID{n}
	put(t, s.Outputs(id), size, age)
	if e.Standing != "" {
		know[id] = &struct {
			e SpoolEntry
			f Files
		}{e: e}
		if fetched {
			know[id].f.Fetched = time.Now().Add(-age)
		}
	}
	return id
}

func put(t *testing.T, path string, size int, age time.Duration) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func newTestSpool(t *testing.T, most uint64) (*Spool, fakeFiled) {
	know := fakeFiled{}
	return newSpool(&Config{Spool: t.TempDir(), SpoolMax: most}, know,
		slog.New(slog.NewTextHandler(io.Discard, nil))), know
}

// TestSpool_Tidy_FetchedFirst: above the bound go what was fetched, then what has waited a day; what its life is over
// for goes in any case, what is younger stays, however large.
func TestSpool_Tidy_FetchedFirst(t *testing.T) {
	t.Parallel()
	s, know := newTestSpool(t, 100)
	over := SpoolEntry{Standing: StandingEnded, Over: true}
	young := spooled(t, s, know, 1, 90, time.Hour, over, false)
	waited := spooled(t, s, know, 2, 40, 2*unfetchedDay, over, false)
	fetched := spooled(t, s, know, 3, 40, time.Hour, over, true)
	old := spooled(t, s, know, 4, 40, 8*24*time.Hour, over, true)
	nobodys := spooled(t, s, know, 5, 40, 8*24*time.Hour, SpoolEntry{}, false)
	put(t, s.Inputs(young), 10, 0)
	s.tidy(t.Context())
	for id, stays := range map[market.OrderID]bool{young: true, waited: false, fetched: false, old: false,
		nobodys: false} {
		if _, err := os.Stat(s.Outputs(id)); (err == nil) != stays {
			t.Errorf("outputs of %s: %v", id, err)
		}
		if k := know[id]; k != nil && k.f.Dropped.IsZero() != stays {
			t.Errorf("%s was dropped at %s", id, k.f.Dropped)
		}
	}
	if _, err := os.Stat(s.Inputs(young)); err == nil {
		t.Error("inputs of an order that is over stay")
	}
}

// TestSpool_Prune_OnlyWhatIsOver: unfetched outputs only if so told; of the named orders only, if any are named.
func TestSpool_Prune_OnlyWhatIsOver(t *testing.T) {
	t.Parallel()
	s, know := newTestSpool(t, 0)
	over, runs := SpoolEntry{Standing: StandingEnded, Over: true}, SpoolEntry{Standing: StandingLeased}
	live := spooled(t, s, know, 1, 1, 0, runs, true)
	fetched := spooled(t, s, know, 2, 2, 0, over, true)
	unfetched := spooled(t, s, know, 3, 4, 0, over, false)
	for _, step := range []struct {
		refs      []string
		unfetched bool
		want      uint64
	}{
		{[]string{live.String()}, true, 0},
		{[]string{unfetched.String()}, false, 0},
		{nil, false, 2},
		{[]string{unfetched.String()}, true, 4},
	} {
		got, err := s.Prune(t.Context(), step.refs, step.unfetched)
		if err != nil || got != step.want {
			t.Errorf("%v: freed %d, %v, want %d", step, got, err, step.want)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != 1 || list[0].Order != live || list[0].Outputs != 1 || !list[0].Known {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := os.Stat(filepath.Dir(s.Outputs(fetched))); err == nil {
		t.Error("an empty folder stays")
	}
	if _, err := s.Prune(t.Context(), []string{"nothing"}, true); err == nil {
		t.Error("a word that names no order is taken")
	}
}
