package rig

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// slots is a rig of n CPU slots, 1 GiB of memory for each, that is fit and sells.
func slots(t *testing.T, n int) (*Rig, *store.Store) {
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
	var devices []gpu.Device
	for i := range n {
		devices = append(devices, gpu.CPUSlot(string(rune('a'+i))))
	}
	r := New(Config{Selling: true, Egress: market.EgressNone, CPUMilli: 8000, RAM: uint64(n) << 30, Disk: 1 << 40},
		devices, Deps{Store: db, Reach: &crowd{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
			Prices: func() Prices { return Prices{Rate: 1} }})
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.shop.health = health{checked: true, fit: true, egress: market.EgressNone}
	return r, db
}

func ask(n byte, devices int) Ask {
	return Ask{From: market.NodeID{n}, Known: true, Order: market.Order{Nonce: market.OrderID{n}, Devices: devices,
		RAM: 1 << 28, Egress: market.EgressNone}}
}

func claim(id byte, devices ...market.DeviceID) Claim {
	m := market.Lease{Common: market.Common{ID: market.LeaseID{id}, State: market.Preparing}}
	return Claim{Lease: m.ID, Devices: devices, RAM: 1 << 28, Now: func() market.Lease { return m }}
}

// TestHold_TwoLeasesAtOnce_OneGetsTheDevice: of many that are decided at the same time exactly one gets a device, and
// its row is on disk.
func TestHold_TwoLeasesAtOnce_OneGetsTheDevice(t *testing.T) {
	t.Parallel()
	r, db := slots(t, 1)
	id := r.table.ids[0]
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []byte
	for n := byte(1); n <= 8; n++ {
		wg.Go(func() {
			var c store.Change
			done, err := r.Hold(&c, claim(n, id), ask(n, 1), time.Now())
			if err != nil {
				if market.CodeOf(err) != market.CodeDevicesTaken {
					t.Error(err)
				}
				return
			}
			err = db.Commit(context.Background(), c)
			done(err == nil)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, n)
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("leases %v have one device", won)
	}
	b, err := db.Get(store.BucketDevices, id[:])
	var row Row
	if err := errors.Join(err, store.Unrow(b, &row)); err != nil {
		t.Fatal(err)
	}
	if row.State != Leased || row.Lease != (market.LeaseID{won[0]}) || !r.Has(row.Lease) {
		t.Errorf("row %+v, won %d", row, won[0])
	}
}

// TestHold_CommitFails_NothingStays: device, memory and generation are as before, and the next lease gets them.
func TestHold_CommitFails_NothingStays(t *testing.T) {
	t.Parallel()
	r, db := slots(t, 1)
	id := r.table.ids[0]
	before := r.table.rows[id]
	var c store.Change
	done, err := r.Hold(&c, claim(1, id), ask(1, 1), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pick(ask(2, 1), time.Now()); market.CodeOf(err) != market.CodeBusy {
		t.Errorf("the device is offered while it is committed: %v", err)
	}
	done(false)
	if r.table.rows[id] != before || len(r.table.claims) != 0 || r.Has(market.LeaseID{1}) {
		t.Errorf("row %+v, %d claims", r.table.rows[id], len(r.table.claims))
	}
	if p, err := r.Pick(ask(2, 1), time.Now()); err != nil || !slices.Equal(p.Devices, []market.DeviceID{id}) {
		t.Errorf("%+v: %v", p, err)
	}
	c = store.Change{}
	if done, err = r.Hold(&c, claim(2, id), ask(2, 1), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := db.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	done(true)
	if err := r.Free(t.Context(), market.LeaseID{2}, false); err != nil {
		t.Fatal(err)
	}
	if row := r.table.rows[id]; row.State != Free || row.Generation != 1 || len(r.table.claims) != 0 {
		t.Errorf("row %+v, %d claims", row, len(r.table.claims))
	}
}

// TestHold_MemoryIsShared: a lease takes memory from the whole rig while it is live, a hold while it lasts.
func TestHold_MemoryIsShared(t *testing.T) {
	t.Parallel()
	r, _ := slots(t, 2)
	now := time.Now()
	big := ask(1, 1)
	big.Order.RAM = 3 << 29 // of 2 GiB
	var c store.Change
	m := market.Lease{Common: market.Common{ID: market.LeaseID{1}, State: market.Running}}
	cl := Claim{Lease: m.ID, Devices: r.table.ids[:1], RAM: big.Order.RAM, Now: func() market.Lease { return m }}
	if _, err := r.Hold(&c, cl, big, now); err != nil {
		t.Fatal(err)
	}
	other := ask(2, 1)
	other.Order.RAM = 1 << 30
	if err := r.Fits(other, now); market.CodeOf(err) != market.CodeBusy {
		t.Errorf("memory twice: %v", err)
	}
	if _, err := r.Hold(&c, claim(2, r.table.ids[1]), other, now); market.CodeOf(err) != market.CodeDevicesTaken {
		t.Errorf("memory twice: %v", err)
	}
	m.State = market.Closing
	if err := r.Fits(other, now); err != nil {
		t.Errorf("the lease is over: %v", err)
	}
	other.Until = now.Add(time.Minute)
	if _, err := r.Pick(other, now); err != nil {
		t.Fatal(err)
	}
	third := ask(3, 1)
	third.Order.RAM = 3 << 29
	if err := r.Fits(third, now); market.CodeOf(err) != market.CodeBusy {
		t.Errorf("a hold's memory: %v", err)
	}
	if err := r.Fits(third, now.Add(2*time.Minute)); err != nil {
		t.Errorf("the hold is over: %v", err)
	}
}

// TestPick_Holds: a known customer's hold keeps a device from everybody, a stranger's only from strangers; who wasted
// as many as the rig has holds nothing.
func TestPick_Holds(t *testing.T) {
	t.Parallel()
	r, _ := slots(t, 1)
	now := time.Now()
	stranger, known := ask(1, 1), ask(2, 1)
	stranger.Known = false
	stranger.Until = now.Add(20 * time.Second)
	if _, err := r.Pick(stranger, now); err != nil {
		t.Fatal(err)
	}
	another := ask(3, 1)
	another.Known = false
	if _, err := r.Pick(another, now); market.CodeOf(err) != market.CodeBusy {
		t.Errorf("two strangers: %v", err)
	}
	if _, err := r.Pick(known, now); err != nil {
		t.Errorf("a stranger keeps a known customer out: %v", err)
	}
	later := now.Add(time.Minute) // it was not used, and that is one of one
	another.Until = later.Add(20 * time.Second)
	if _, err := r.Pick(another, later); err != nil {
		t.Fatal(err)
	}
	if len(r.table.holds.held) != 0 {
		t.Error("strangers hold again after they have wasted all")
	}
	known.Until = later.Add(20 * time.Second)
	if _, err := r.Pick(known, later); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pick(another, later); market.CodeOf(err) != market.CodeBusy {
		t.Errorf("a known customer's hold binds strangers: %v", err)
	}
	r.Unhold(known.From, known.Order.Nonce)
	if _, err := r.Pick(another, later); err != nil {
		t.Errorf("after its answer: %v", err)
	}
}
