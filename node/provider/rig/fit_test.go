package rig

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// TestFit_EngineChanges_IsCheckedAtOnce: a disk that fills up stops the sale now, not at the next hourly check, and
// space that is free again starts it.
func TestFit_EngineChanges_IsCheckedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		recheck := make(chan struct{}, 1)
		r := New(Config{Selling: true, Egress: market.EgressNone}, []gpu.Device{gpu.CPUSlot("x")}, Deps{
			Log: slog.New(slog.DiscardHandler), Recheck: recheck,
			Fit: func(context.Context) (bool, error) {
				if full.Load() {
					return false, &market.Error{Code: market.CodeDiskFull, Kind: market.KindUnavailable,
						Op: "check disk"}
				}
				return true, nil
			},
		})
		sells := func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.shop.sells()
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { checker{r}.loop(ctx) })
		synctest.Wait()
		if !sells() {
			t.Fatal("a fit engine is not sold")
		}
		full.Store(true)
		recheck <- struct{}{}
		synctest.Wait()
		if sells() || r.shop.health.code != market.CodeDiskFull {
			t.Errorf("sold on a full disk: %+v", r.shop.health)
		}
		select {
		case <-r.changed:
		default:
			t.Error("the Offer stays as it was")
		}
		full.Store(false)
		time.Sleep(fitRetry + time.Second)
		if !sells() {
			t.Error("space is free again and nothing is sold")
		}
		cancel()
		wg.Wait()
	})
}
