package purse

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// customers are orders that want one channel, or none, and whose provider does not answer.
type customers struct {
	mu      sync.Mutex
	wants   bool
	settled []Settlement
	spends  []escrow.Intent
	asked   int
}

func (c *customers) set(wants bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wants = wants
}

// told is what came home so far.
func (c *customers) told() []Settlement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.settled)
}

func (c *customers) Needs(market.ChannelID, market.NodeID, bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wants
}

func (c *customers) Hourly(market.ChannelID) market.Amount                   { return 0 }
func (c *customers) Follows(market.LeaseID) bool                             { return false }
func (c *customers) Funds(context.Context, market.ChannelID, escrow.Account) {}
func (c *customers) Spent(context.Context, string)                           {}

func (c *customers) Settled(_ context.Context, s Settlement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = append(c.settled, s)
}

func (c *customers) Spends(_ context.Context, in escrow.Intent, _, _ market.OrderID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spends = append(c.spends, in)
	return nil
}

func (c *customers) Release(context.Context, market.NodeID, market.ChannelID) (b [114]byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return b, errors.New("nobody answers")
}

// serving is a purse on a ledger in memory, and the channel of a first lease.
func serving(t *testing.T) (*Purse, *customers, *escrowtest.Chain, *store.Store, *Channel) {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	chain := escrowtest.NewChain(escrowtest.Options{Seed: t.Name(), SlotTime: 400 * time.Millisecond})
	payer, payee := market.Address{1}, market.Address{2}
	chain.Fund(payer, 10*market.LamportsSOL)
	chain.Fund(payee, market.LamportsSOL)
	orders := &customers{wants: true}
	p := New(Config{ClusterTag: chain.ClusterTag(), Payer: payer, Program: chain.Program(), Every: time.Second}, db,
		chain.Ledger(payer), orders, time.Now, slog.New(slog.DiscardHandler))
	if err := p.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.Serve(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait(); _ = db.Close() })
	ch, err := p.Fund(ctx, want(1, payee), func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	return p, orders, chain, db, ch
}

func want(order byte, payee market.Address) Want {
	return Want{Order: market.OrderID{order}, Provider: market.NodeID{9}, Limit: market.LamportsSOL,
		Quote: market.Quote{Payout: payee, Rate: 1_000_000_000, Devices: make([]market.DeviceID, 1), MinHeadroom: 1000}}
}

func lease(n int) market.LeaseID { return market.LeaseID{byte(n), byte(n >> 8), 1} }

// rows are all rows of the buying books.
func rows(t *testing.T, db *store.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, bucket := range []string{store.BucketOwnChannels, store.BucketOwnShares, store.BucketOwnVouchers} {
		err := db.Scan(bucket, nil, func(k, v []byte) error { out[bucket+string(k)] = string(v); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestRows_ManyPastLeases_StaySmall: the shares of a thousand leases, as an older version has left them in the store,
// become one sum, and what a payment writes is as little as on a new channel.
func TestRows_ManyPastLeases_StaySmall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, _, db, ch := serving(t)
		const past = 1000
		err := ch.enter(t.Context(), func(e *entry) error {
			for n := range past {
				a, err := e.Account.AddLease(lease(n), 1000, 0)
				if err == nil {
					a, _, err = a.Sign(ch.key, lease(n), 100)
				}
				if err != nil {
					return err
				}
				e.Account = a.EndLease(lease(n), 100)
			}
			return nil
		})
		if err == nil && len(rows(t, db)) > past {
			err = ch.AddLease(t.Context(), lease(past), 1000, 0,
				func() (func(*store.Change), error) { return func(*store.Change) {}, nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		a, before := ch.Account(), rows(t, db)
		if a.PaidSum() != 100*past || a.OwedSum() != 100*past || a.Past.Leases != past || len(a.Leases) != 1 ||
			len(before) != 3 {
			t.Errorf("%d leases and %d past, paid %d, owed %d; %d rows", len(a.Leases), a.Past.Leases, a.PaidSum(),
				a.OwedSum(), len(before))
		}
		if _, err := ch.Sign(t.Context(), lease(past), 100); err != nil {
			t.Fatal(err)
		}
		size := 0
		for k, v := range rows(t, db) {
			if before[k] != v {
				size += len(k) + len(v)
			}
		}
		if size == 0 || size > 512 {
			t.Errorf("a payment writes %d bytes", size)
		}
	})
}

// TestClose_NoRelease_TheLedgerIsAsked: a channel that its orders want kept is closed for its user: the provider is
// asked for a minute, then the ledger.
func TestClose_NoRelease_TheLedgerIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, orders, _, _, ch := serving(t)
		ch.Drop(market.OrderID{1})
		began := time.Now()
		err := p.CloseChannel(t.Context(), ch.ID())
		if market.CodeOf(err) != market.CodeChannelClosing || ch.Account().Phase != escrow.PhaseClosing {
			t.Fatalf("%v, the channel is %s", err, ch.Account().Phase)
		}
		synctest.Wait()
		if d := time.Since(began); d < 59*time.Second || d > 2*time.Minute || orders.asked < 5 {
			t.Errorf("%d questions in %s", orders.asked, d)
		}
	})
}

// TestClose_LeaseLives_NothingIsStored: a job keeps its channel, and goes on.
func TestClose_LeaseLives_NothingIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, _, _, ch := serving(t)
		err := ch.AddLease(t.Context(), lease(1), 1000, 0,
			func() (func(*store.Change), error) { return func(*store.Change) {}, nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CloseChannel(t.Context(), ch.ID()); market.CodeOf(err) != market.CodeLeaseLive {
			t.Errorf("close says %v", err)
		}
		if !ch.Row().Close.IsZero() {
			t.Error("the wish is stored all the same")
		}
	})
}

// TestFund_WaitsForTheReader: an opening is done when the one reader has seen it, and of two orders at once one opens
// for both.
func TestFund_WaitsForTheReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, orders, chain, _, ch := serving(t)
		if a := ch.Account(); a.Phase != escrow.PhaseSeen && a.Phase != escrow.PhaseOpen ||
			a.Seen != market.LamportsSOL {
			t.Errorf("the channel is %s with %d", a.Phase, a.Seen)
		}
		chain.Down(true)
		time.AfterFunc(5*time.Second, func() { chain.Down(false) })
		time.Sleep(6 * time.Second)
		next, err := p.Fund(t.Context(), want(2, market.Address{2}), func(string, string) {})
		if err != nil || next != ch {
			t.Errorf("%v, another channel: %v", err, next != ch)
		}
		ops := map[escrow.Op]int{}
		synctest.Wait()
		for _, in := range orders.spends {
			ops[in.Op]++
		}
		if ops[escrow.OpOpen] != 1 {
			t.Errorf("%d openings", ops[escrow.OpOpen])
		}
	})
}

// TestKeeper_NobodyWantsIt_ComesHome: a channel that no order needs is closed without a call, and its orders are told
// what came back.
func TestKeeper_NobodyWantsIt_ComesHome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, orders, _, _, ch := serving(t)
		ch.Drop(market.OrderID{1})
		orders.set(false)
		time.Sleep(closeDelay + 5*time.Minute)
		if told := orders.told(); len(told) != 1 || told[0].Returned != ch.Account().Seen || told[0].Tx == "" {
			t.Errorf("told %+v, the channel is %s", told, ch.Account().Phase)
		}
		if !p.Reclaimed(t.Context(), ch.ID()) {
			t.Error("its storage deposit is held")
		}
	})
}

// TestFund_ReusedChannel_TakesWhatIsMissing: what earlier orders have left in a channel counts for the next one.
func TestFund_ReusedChannel_TakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, _, _, ch := serving(t)
		ctx, cent := t.Context(), market.Amount(market.LamportsSOL/100)
		err := ch.AddLease(ctx, lease(1), 100*cent, 0,
			func() (func(*store.Change), error) { return func(*store.Change) {}, nil })
		if err == nil {
			_, err = ch.Sign(ctx, lease(1), 95*cent)
		}
		if err == nil {
			err = ch.EndLease(ctx, lease(1), 95*cent, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		ch.Drop(market.OrderID{1})
		w := want(2, market.Address{2})
		w.Limit = 50 * cent
		if d, reuses := p.Would(w); d != 45*cent || !reuses {
			t.Errorf("it would add %d, to an open channel: %v", d, reuses)
		}
		next, err := p.Fund(ctx, w, func(string, string) {})
		if err != nil || next != ch || ch.Account().Seen != 145*cent {
			t.Errorf("%v, another channel: %v, with %d", err, next != ch, ch.Account().Seen)
		}
	})
}
