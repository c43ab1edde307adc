package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// once fails unless the order ended well: one job, one lease paid to the unit, and no money left anywhere.
func (w *world) once(t *testing.T, id market.OrderID, before, wallet market.Amount) {
	t.Helper()
	v := w.await(t, id, over)
	if v.Code != market.CodeCompleted || v.Paid != v.Lease.Claim || w.engine.Started() != 1 {
		t.Fatalf("%s %s %s: paid %d of %d, %d jobs were started; %+v", v.Standing, v.Code, v.Detail, v.Paid,
			v.Lease.Claim, w.engine.Started(), v.Steps)
	}
	w.settledAll(t, []market.OrderID{id}, before, wallet)
	if n := len(w.cust.Channels()); n > 2 {
		t.Errorf("%d channels for one order", n)
	}
	until(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
	w.freeAgain(t, 1)
}

// placing are the phases of an order before its lease: how a test brings an order there and lets it go on.
var placing = map[string]struct {
	before, hold, after func(*world, *testing.T, market.OrderID)
}{
	"searching": { // nobody answers
		before: func(w *world, _ *testing.T, _ market.OrderID) { w.sw.cut.Store(true) },
		hold: func(w *world, t *testing.T, id market.OrderID) {
			w.await(t, id, func(v customer.View) bool {
				return v.Standing == customer.StandingSearching &&
					len(v.Steps) > 0
			})
		},
		after: func(w *world, _ *testing.T, _ market.OrderID) { w.sw.cut.Store(false) },
	},
	"funding": { // opened, but nobody sees it yet
		before: func(w *world, _ *testing.T, _ market.OrderID) { w.sw.noChannels.Store(true) },
		hold:   func(w *world, t *testing.T, _ market.OrderID) { w.opened(t) },
		after:  func(w *world, _ *testing.T, _ market.OrderID) { w.sw.noChannels.Store(false) },
	},
	"proposed": { // stored, and never sent
		before: func(w *world, _ *testing.T, _ market.OrderID) { w.sw.noChannels.Store(true) },
		hold: func(w *world, t *testing.T, id market.OrderID) {
			w.opened(t)
			w.sw.cut.Store(true)
			w.sw.noChannels.Store(false)
			w.await(t, id, in(market.Proposed))
		},
		after: func(w *world, _ *testing.T, _ market.OrderID) { w.sw.cut.Store(false) },
	},
	"accepted": { // and not heard
		before: func(*world, *testing.T, market.OrderID) {},
		hold: func(w *world, t *testing.T, id market.OrderID) {
			until(t, "the lease is not accepted", func() bool { return len(w.prov.Leases()) == 1 })
		},
		after: func(*world, *testing.T, market.OrderID) {},
	},
}

func (w *world) opened(t *testing.T) {
	t.Helper()
	until(t, "no channel is opened", func() bool { return len(w.cust.Channels()) == 1 })
}

// TestPlace_Restarts_EachPhase ends one side's role while an order is placed, leaves it away for a while, and starts it
// on its store: the order goes on, also where the book is empty for longer than a new order would wait.
func TestPlace_Restarts_EachPhase(t *testing.T) {
	t.Parallel()
	sides := map[string]struct{ stop, start func(*world, *testing.T) }{
		"provider": {func(w *world, _ *testing.T) { w.stopProv() }, (*world).startProvider},
		"customer": {func(w *world, _ *testing.T) { w.stopCust() }, func(w *world, t *testing.T) {
			w.prov.SetSelling(false) // its book stays empty
			w.startCustomer(t)
		}},
	}
	for side, s := range sides {
		for phase, p := range placing {
			for name, away := range map[string]time.Duration{"at once": 0, "later": 40 * time.Second} {
				t.Run(side+" "+phase+" "+name, func(t *testing.T) {
					t.Parallel()
					simulate(t, setup{work: 5 * time.Second}, func(t *testing.T, w *world) {
						before, wallet := w.chain.Balance(w.payout), w.chain.Balance(w.payer)
						p.before(w, t, market.OrderID{})
						id := w.place(t, request("again"))
						p.hold(w, t, id)
						s.stop(w, t)
						time.Sleep(away)
						p.after(w, t, id)
						s.start(w, t)
						time.Sleep(20 * time.Second) // longer than a new order waits for offers
						w.prov.SetSelling(true)      // says what it sells
						w.once(t, id, before, wallet)
					})
				})
			}
		}
	}
}
