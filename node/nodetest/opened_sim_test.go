package nodetest

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// denies is a ledger that calls every open failed. hides: it shows no channel either. drops: the open is really not
// taken.
type denies struct {
	escrow.Ledger
	on, hides, drops *atomic.Bool
}

func isOpen(key string) bool { return strings.Contains(key, "/"+escrow.OpOpen.String()+"/") }

func (d denies) Submit(ctx context.Context, in escrow.Intent) error {
	if in.Op == escrow.OpOpen && d.drops.Load() {
		return nil
	}
	return d.Ledger.Submit(ctx, in)
}

func (d denies) Result(ctx context.Context, key string) (escrow.Result, bool, error) {
	if d.on.Load() && isOpen(key) {
		return escrow.Result{State: escrow.Failed, Err: "already in use"}, true, nil
	}
	return d.Ledger.Result(ctx, key)
}

func (d denies) Channels(ctx context.Context, ids []market.ChannelID, t escrow.Trust) ([]escrow.ChannelState, error) {
	out, err := d.Ledger.Channels(ctx, ids, t)
	if d.hides.Load() && err == nil {
		for i, cs := range out {
			out[i] = escrow.ChannelState{ID: cs.ID, Status: escrow.StatusGone, Slot: cs.Slot}
		}
	}
	return out, err
}

// denied starts the customer on a ledger that denies opens.
func denied(t *testing.T, w *world) denies {
	d := denies{w.wallet.Ledger, new(atomic.Bool), new(atomic.Bool), new(atomic.Bool)}
	d.on.Store(true)
	w.stopCust()
	w.wallet.Ledger = d
	w.startCustomer(t)
	time.Sleep(time.Second)
	return d
}

// TestSim_OpenCalledFailed_DepositIsFoundAgain: an open that is on the chain although the ledger called it failed is
// found by the next look, also after a restart, and its deposit comes back.
func TestSim_OpenCalledFailed_DepositIsFoundAgain(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
			d := denied(t, w)
			d.hides.Store(true)
			r := long()
			r.Key = "denied"
			w.await(t, w.place(t, r), over)
			if restart {
				w.stopCust()
				w.startCustomer(t)
				time.Sleep(time.Second)
			}
			n := len(w.cust.Channels())
			if n == 0 {
				t.Fatal("a channel was forgotten while its open could be on the chain")
			}
			d.hides.Store(false)
			d.on.Store(false)
			time.Sleep(2 * time.Hour) // the provider knows no lease on it, so the close delay is waited for
			w.back(t, "the deposit does not come back", n)
		})
	}
}

// TestSim_OpenNotTaken_IsForgottenAfterItsWindow: a row is dropped when no open of its slot can come any more, not
// before.
func TestSim_OpenNotTaken_IsForgottenAfterItsWindow(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		d := denied(t, w)
		d.drops.Store(true)
		w.await(t, w.place(t, long()), over)
		time.Sleep(10 * time.Minute)
		if len(w.cust.Channels()) == 0 {
			t.Fatal("forgotten within the window")
		}
		time.Sleep(15 * time.Minute) // 3,000 slots of 400 ms are 20 minutes
		until(t, "the row is kept for ever", func() bool { return len(w.cust.Channels()) == 0 })
	})
}
