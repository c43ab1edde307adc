package customer

import (
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

func newTestBook(t *testing.T, db *store.Store) *Book {
	t.Helper()
	clock, err := lease.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	return newBook(&Config{Network: "test"}, db, clock, slog.New(slog.NewTextHandler(io.Discard, nil)))
}

func openTestStore(t *testing.T, path string) *store.Store {
	t.Helper()
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// hear gives a book the newest Offer of a provider with one CPU slot.
func hear(t *testing.T, b *Book, n byte, rate market.Rate) market.NodeID {
	t.Helper()
	key := ed25519.NewKeyFromSeed(append(make([]byte, 31), n))
	o := market.Offer{Seq: uint64(time.Now().UnixMilli()), Lifetime: time.Hour, Mints: []market.Address{{}},
		Version: "test",
		Fields: market.Fields{market.FieldCPU: 8000, market.FieldRAM: 1 << 16, market.FieldDisk: 1 << 20,
			market.FieldEgress: uint64(market.EgressNone), market.FieldTickMin: 1000},
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{n}}, Free: 1, Class: market.ClassCPU, Name: "CPU",
			Rates: []market.Rate{rate}}}}
	raw, err := wire.SealOffer(key, "test", o)
	if err != nil {
		t.Fatal(err)
	}
	o, env, err := wire.OpenOffer(raw, "test")
	if err != nil {
		t.Fatal(err)
	}
	o.Provider = env.Signer
	b.Offer(o, raw)
	return env.Signer
}

// TestBook_Moved_OncePerOffer: who has seen all waits for the next Offer; who has not is told at once.
func TestBook_Moved_OncePerOffer(t *testing.T) {
	t.Parallel()
	db := openTestStore(t, filepath.Join(t.TempDir(), "d", "state.db"))
	defer db.Close()
	b := newTestBook(t, db)
	seen, next := b.changes()
	id := hear(t, b, 1, 100)
	select {
	case <-next:
	default:
		t.Fatal("who waits is not told")
	}
	now, err := b.moved(t.Context(), seen)
	if err != nil || now == seen {
		t.Fatal(now, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if same, err := b.moved(gone, now); err == nil || same != now {
		t.Errorf("nothing has changed: %d, %v", same, err)
	}
	if o, _, known := b.offerOf(id); !known || o.Groups[0].Rates[0] != 100 {
		t.Errorf("%+v, %v", o, known)
	}
	if list := b.Offers(); len(list) != 1 {
		t.Errorf("%d offers", len(list))
	}
}

// TestBook_Mark_OutlivesStart: two failures hide a provider, also after a start that hears of it only later.
func TestBook_Mark_OutlivesStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "state.db")
	db := openTestStore(t, path)
	b := newTestBook(t, db)
	bad := hear(t, b, 1, 100)
	lost := market.Lease{Common: market.Common{Accepted: time.Now(), Fault: market.FaultProvider,
		Code: market.CodeProviderSilent}}
	hidden := func(b *Book) bool {
		_, _, known := b.offerOf(bad)
		r := Request{Key: "k", File: spec.NewFile("busybox")}
		r.File.GPU.None, r.File.Egress = true, market.EgressNone
		res, _ := b.match(&r, 5, true)
		if !known {
			t.Fatal("the offer is not known")
		}
		return len(res.Candidates) == 0
	}
	if hidden(b) {
		t.Fatal("hidden before anything happened")
	}
	b.mark(t.Context(), bad, market.Lease{}) // never accepted: says nothing
	b.mark(t.Context(), bad, lost)
	if hidden(b) {
		t.Error("hidden after one failure")
	}
	b.mark(t.Context(), bad, lost)
	if !hidden(b) {
		t.Error("not hidden after two failures")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTestStore(t, path)
	defer db.Close()
	again := newTestBook(t, db)
	again.loadMarks()
	hear(t, again, 1, 100)
	if !hidden(again) {
		t.Error("not hidden after the start")
	}
}
