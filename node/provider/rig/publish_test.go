package rig

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// roamer is a network whose addresses change.
type roamer struct {
	moved chan struct{}

	mu    sync.Mutex
	addrs []string
	told  []told
}

type told struct {
	at     time.Time
	reach  []string
	groups int
}

func (r *roamer) Publish(_ context.Context, raw []byte) error {
	o, _, err := wire.OpenOffer(raw, "localnet")
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, told{time.Now(), o.Reach, len(o.Groups)})
	return nil
}

func (r *roamer) move(addrs ...string) {
	r.mu.Lock()
	r.addrs = addrs
	r.mu.Unlock()
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

func (r *roamer) Addrs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.addrs)
}
func (r *roamer) Peers() int { return 1 }

func (r *roamer) list() []told {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

// roam runs a rig's loops on r, with an engine whose check takes fit.
func roam(t *testing.T, r *roamer, fit time.Duration, f func(t *testing.T, rig *Rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r.moved = make(chan struct{}, 1)
		db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		start := time.Now()
		clock, err := lease.ClockOf(func() (time.Duration, error) { return time.Hour + time.Since(start), nil },
			"virtual")
		if err != nil {
			t.Fatal(err)
		}
		rig := New(Config{
			Network: "localnet", Key: p2ptest.Key(1), ID: p2ptest.NodeID(p2ptest.Key(1)), Selling: true, CPUMilli: 1000,
			RAM: 1 << 30, Disk: 1 << 30,
			Egress: market.EgressNone, Tick: time.Second,
		}, []gpu.Device{gpu.CPUSlot("x")}, Deps{
			Store: db, Pub: r, Reach: r, Now: clock.Now, Log: slog.New(slog.DiscardHandler), Moved: r.moved,
			Prices: func() Prices { return Prices{Rate: 1000} },
			Fit: func(ctx context.Context) (bool, error) {
				select {
				case <-ctx.Done():
					return true, ctx.Err()
				case <-time.After(fit):
					return true, nil
				}
			},
		})
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { announcer{rig}.serve(ctx) })
		wg.Go(func() { checker{rig}.loop(ctx) })
		defer wg.Wait()
		defer cancel()
		f(t, rig)
	})
}

const (
	home  = "/ip4/1.0.0.1/udp/4801/quic-v1"
	away  = "/ip4/1.0.0.2/udp/4801/quic-v1"
	relay = "/ip4/1.0.0.9/udp/4801/quic-v1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp/p2p-circuit"
)

// TestPublish_FollowsTheAddresses: the Offer waits for the first address, and follows each change within seconds: a
// relay's reservation, another network, another port. Many changes at once are one Offer, and one that is undone is
// none.
func TestPublish_FollowsTheAddresses(t *testing.T) {
	t.Parallel()
	r := &roamer{}
	roam(t, r, 0, func(t *testing.T, _ *Rig) {
		time.Sleep(15 * time.Second)
		if n := len(r.list()); n != 0 {
			t.Fatalf("%d offers without an address", n)
		}
		last := func(want ...string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			l := r.list()
			if len(l) == 0 || !slices.Equal(l[len(l)-1].reach, want) || l[len(l)-1].groups != 1 {
				t.Fatalf("the last offer is %+v, want reach %s", l, want)
			}
		}
		r.move(relay)
		last(relay)
		for _, a := range [][]string{{home}, {home, relay}, {relay}, {away, relay}} { // as they come up
			r.move(a...)
			time.Sleep(500 * time.Millisecond)
		}
		n := len(r.list())
		last(away, relay)
		if l := r.list(); len(l) != n+1 {
			t.Errorf("%d offers for one move", len(l)-n)
		}
		r.move(home)
		time.Sleep(time.Second)
		r.move(away, relay)
		time.Sleep(5 * time.Second)
		if l := r.list(); len(l) != n+1 {
			t.Errorf("%d offers for a change that was undone", len(l)-n-1)
		}
	})
}

// TestPublish_NoAddressAtAll_LeavesAfterHalfAMinute: others learn that the rig is there, and where it is as soon as it
// knows.
func TestPublish_NoAddressAtAll_LeavesAfterHalfAMinute(t *testing.T) {
	t.Parallel()
	r := &roamer{}
	roam(t, r, 0, func(t *testing.T, _ *Rig) {
		start := time.Now()
		time.Sleep(time.Minute)
		l := r.list()
		if len(l) != 1 || l[0].at.Sub(start) != firstWait || len(l[0].reach) != 0 {
			t.Fatalf("offers %+v", l)
		}
	})
}

// TestPublish_FirstOfferIsAfterTheCheck: a start never withdraws what the rig can do; a rig that was paused says so at
// once, and one whose check never ends does after half a minute.
func TestPublish_FirstOfferIsAfterTheCheck(t *testing.T) {
	t.Parallel()
	r := &roamer{addrs: []string{home}}
	roam(t, r, 4*time.Second, func(t *testing.T, rig *Rig) {
		time.Sleep(3 * time.Second)
		if v := rig.View(); len(r.list()) != 0 || v.Selling || v.Why == "" {
			t.Fatalf("offers %+v, why %q", r.list(), v.Why)
		}
		time.Sleep(10 * time.Second)
		if l := r.list(); len(l) != 1 || l[0].groups != 1 {
			t.Fatalf("offers %+v", l)
		}
	})
	r = &roamer{addrs: []string{home}}
	roam(t, r, time.Hour, func(t *testing.T, rig *Rig) {
		time.Sleep(10 * time.Second)
		rig.SetSelling(false)
		time.Sleep(time.Second)
		if l := r.list(); len(l) != 1 || l[0].groups != 0 {
			t.Fatalf("offers %+v", l)
		}
	})
	r = &roamer{addrs: []string{home}}
	roam(t, r, time.Hour, func(t *testing.T, _ *Rig) {
		time.Sleep(firstWait + time.Second)
		if l := r.list(); len(l) != 1 || l[0].groups != 0 {
			t.Fatalf("offers %+v", l)
		}
	})
}
