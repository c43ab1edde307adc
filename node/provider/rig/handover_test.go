package rig

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// stuckGPU is a hand-over that finds something until the time clear; looks are when it was asked.
type stuckGPU struct {
	clear time.Time
	looks []time.Time
}

func (*stuckGPU) Learn(context.Context, []string) error { return nil }

func (*stuckGPU) Idle(uuids []string) (out []gpu.Idle) {
	for _, u := range uuids {
		out = append(out, gpu.Idle{UUID: u})
	}
	return out
}

func (s *stuckGPU) Left(context.Context, []gpu.Idle) (string, error) {
	s.looks = append(s.looks, time.Now())
	switch {
	case len(s.looks) == 1:
		return "", errors.New("the agent hangs")
	case time.Now().Before(s.clear):
		return "process 4242 is still on it", nil
	}
	return "", nil
}

// TestHandOver_Quarantine_IsLookedAtAgain: after 5 minutes, then each time twice as long, and sold once it is clear;
// also after a restart.
func TestHandOver_Quarantine_IsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		devices, err := gpu.Inventory(t.Context(), gpu.Config{Simulate: []string{"t4"}, PeerID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		hand := &stuckGPU{clear: time.Now().Add(30 * time.Minute)}
		r := New(Config{Selling: true, Egress: market.EgressNone}, devices, Deps{Store: db, Now: time.Now,
			Log: slog.New(slog.DiscardHandler), HandOver: hand, Reach: &crowd{},
			Prices: func() Prices { return Prices{} }})
		r.shop.health = health{checked: true, fit: true, egress: market.EgressNone}
		id := r.table.ids[0]
		bad := Row{State: Quarantined, Generation: 3}
		if err := db.Commit(t.Context(), store.Change{Puts: []store.Put{putRow(id, bad)}}); err != nil {
			t.Fatal(err)
		}
		if err := r.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		listed := func() int {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.build(1, nil, Prices{}).Groups)
		}
		if listed() != 1 {
			t.Error("want the CPU slot only in the Offer")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { cleaner{r}.loop(ctx) })
		start := time.Now()
		time.Sleep(35 * time.Minute)
		synctest.Wait()
		if len(hand.looks) != 2 || listed() != 1 {
			t.Errorf("looked at %v, %d groups", hand.looks, listed())
		}
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		var stored Row
		b, err := db.Get(store.BucketDevices, id[:])
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Unrow(b, &stored); err != nil {
			t.Fatal(err)
		}
		if len(hand.looks) != 3 || listed() != 2 || stored.State != Free || stored.Generation != 3 {
			t.Errorf("looked at %v, %d groups, row %+v", hand.looks, listed(), stored)
		}
		// seen at 1 min; 5, 10, 20 min later
		for i, want := range []time.Duration{6 * time.Minute, 16 * time.Minute, 36 * time.Minute} {
			if got := hand.looks[i].Sub(start); got < want || got > want+2*time.Minute {
				t.Errorf("look %d after %v, want %v", i+1, got, want)
			}
		}
		cancel()
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
