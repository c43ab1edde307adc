package purse

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// TestReader_NoChannels_Sleeps: nothing wakes a reader without channels, and the first one after hours is read as if
// it had been there.
func TestReader_NoChannels_Sleeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		chain := escrowtest.NewChain(escrowtest.Options{Seed: t.Name(), SlotTime: 400 * time.Millisecond})
		payer, payee := market.Address{1}, market.Address{2}
		chain.Fund(payer, 10*market.LamportsSOL)
		chain.Fund(payee, market.LamportsSOL)
		var looks atomic.Int64
		now := func() time.Time {
			looks.Add(1)
			return time.Now()
		}
		p := New(Config{ClusterTag: chain.ClusterTag(), Payer: payer, Program: chain.Program(), Every: time.Second}, db,
			chain.Ledger(payer), &customers{wants: true}, now, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Serve(ctx) })
		defer func() { cancel(); wg.Wait(); _ = db.Close() }()
		time.Sleep(3 * time.Hour)
		if n := looks.Load(); n > 5 {
			t.Errorf("it looked at the clock %d times", n)
		}
		ch, err := p.Fund(ctx, want(1, payee), func(string, string) {})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if since := time.Since(p.Heard()); since > 2*time.Second || ch.Account().Seen != market.LamportsSOL {
			t.Errorf("read %s ago: %+v", since, ch.Account())
		}
	})
}
