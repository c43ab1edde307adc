package rig

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// crowd is a network with a peer, or none, that notes when what was published.
type crowd struct {
	alone bool

	mu  sync.Mutex
	at  []time.Time
	raw [][]byte
}

func (c *crowd) Publish(_ context.Context, raw []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.raw = append(c.at, time.Now()), append(c.raw, raw)
	return nil
}

func (c *crowd) free(t *testing.T) (n int, free uint64, groups int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	o, _, err := wire.OpenOffer(c.raw[len(c.raw)-1], "localnet")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range o.Groups {
		free = g.Free
	}
	return len(c.raw), free, len(o.Groups)
}

func (c *crowd) Addrs() []string { return []string{"/ip4/127.0.0.1/udp/4801/quic-v1"} }
func (c *crowd) Peers() int      { return map[bool]int{false: 1}[c.alone] }

// TestPublish_ManyChanges_LastStateIsHeard: short jobs change the Offer more often than peers take one; what they took
// last is how the rig stands, within offerGap, and a withdrawal does not wait. A rig that is alone says it again and
// again, but no faster.
func TestPublish_ManyChanges_LastStateIsHeard(t *testing.T) {
	t.Run("with a peer", func(t *testing.T) { manyChanges(t, false) })
	t.Run("alone", func(t *testing.T) { manyChanges(t, true) })
}

func manyChanges(t *testing.T, alone bool) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		key := ed25519.NewKeyFromSeed(make([]byte, 32))
		c := &crowd{alone: alone}
		r := New(Config{
			Network: "localnet", Key: key, ID: market.NodeID(key.Public().(ed25519.PublicKey)),
			Payout: market.Address{1}, Selling: true, Version: "test",
			Tick: time.Second, MinCloseDelay: time.Hour, CPUMilli: 1000, RAM: 1 << 30, Disk: 1 << 30,
			Egress: market.EgressNone,
		}, []gpu.Device{gpu.CPUSlot("x")},
			Deps{Store: db, Pub: c, Reach: c, Now: time.Now, Log: slog.New(slog.DiscardHandler),
				Prices: func() Prices { return Prices{Rate: 1} }})
		r.shop.health = health{checked: true, fit: true, egress: market.EgressNone}
		set := func(s State) {
			r.mu.Lock()
			r.table.rows[r.table.ids[0]] = Row{State: s}
			r.mu.Unlock()
			r.Changed()
		}
		set(Free)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { announcer{r}.loop(ctx) })
		for i := range 60 {
			set(Leased - State(i%2)) // odd: free
			time.Sleep(time.Second)
		}
		set(Free)
		time.Sleep(offerGap + time.Second)
		if n, free, _ := c.free(t); free != 1 {
			t.Errorf("after a minute: %d offers, the last one says free %b", n, free)
		}
		peer := rate.NewLimiter(12.0/60, 12) // of each signer, see p2p/offers
		for i, at := range c.at {
			if !peer.AllowN(at, 1) {
				t.Errorf("peers drop offer %d of %d", i, len(c.at))
			}
		}
		set(Leased)
		set(Free)
		synctest.Wait()
		r.SetSelling(false)
		time.Sleep(100 * time.Millisecond)
		if _, _, groups := c.free(t); groups != 0 {
			t.Error("the withdrawal waits")
		}
		cancel()
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
