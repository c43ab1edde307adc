package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestRestart_EachState_EndsExactly ends one side's role as a kill would, in each state of a lease, and starts it on
// its store: the job runs once, is billed for what was seen, and both agree on the sum.
func TestRestart_EachState_EndsExactly(t *testing.T) {
	t.Parallel()
	sides := map[string]struct{ stop, start func(*world, *testing.T) }{
		"provider": {func(w *world, _ *testing.T) { w.stopProv() }, (*world).startProvider},
		"customer": {func(w *world, _ *testing.T) { w.stopCust() }, (*world).startCustomer},
		"both": {func(w *world, _ *testing.T) { w.stopProv(); w.stopCust() }, func(w *world, t *testing.T) {
			w.startCustomer(t)
			w.startProvider(t)
		}},
	}
	states := map[string]struct {
		before, after func(*world)
		at            market.LeaseState
	}{
		"preparing": {func(w *world) { w.engine.Hold(true) }, func(w *world) { w.engine.Hold(false) },
			market.Preparing},
		"running": {func(*world) {}, func(*world) {}, market.Running},
		"paused": {func(w *world) { w.sw.noPay.Store(true) }, func(w *world) { w.sw.noPay.Store(false) },
			market.Paused},
		"closing": {func(w *world) { w.sw.noOutcome.Store(true) }, func(w *world) { w.sw.noOutcome.Store(false) },
			market.Closing},
	}
	for side, s := range sides {
		for state, st := range states {
			t.Run(side+" "+state, func(t *testing.T) {
				t.Parallel()
				simulate(t, setup{work: 20 * time.Second}, func(t *testing.T, w *world) {
					before := w.chain.Balance(w.payout)
					st.before(w)
					id := w.place(t, request("restart"))
					v := w.await(t, id, in(st.at))
					until(t, "the provider is not as far", func() bool { return w.sold(t, v).State == st.at })
					s.stop(w, t)
					s.start(w, t)
					w.await(t, id, in(st.at)) // still there, from the store
					st.after(w)
					v = w.await(t, id, over)
					w.exact(t, v, market.CodeCompleted, before)
					// the engine is asked so often, from the restart on
					if late := v.Lease.ClaimMS - 20_000; late >= 250 {
						t.Errorf("billed %d ms of 20 s of work", v.Lease.ClaimMS)
					}
					if n := w.engine.Started(); n != 1 {
						t.Errorf("the job was started %d times", n)
					}
					until(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
					w.freeAgain(t, 1)
				})
			})
		}
	}
}

// TestRestart_Funding_OneDeposit ends the customer's node while its channel opens: it takes the same one up.
func TestRestart_Funding_OneDeposit(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		w.sw.noChannels.Store(true) // opened, but nobody sees it yet
		id := w.place(t, request("funding"))
		until(t, "no channel is opened", func() bool { return len(w.cust.Channels()) == 1 })
		w.stopCust()
		w.startCustomer(t)
		w.await(t, id, func(v customer.View) bool { return v.Standing == customer.StandingFunding })
		w.sw.noChannels.Store(false)
		v := w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
		if n := len(w.cust.Channels()); n != 1 {
			t.Errorf("%d channels for one order", n)
		}
	})
}

// TestRestart_HoldDoesNotRunWhileTheProviderIsAway: an unpaid pause ends a lease after the hold, but not for the
// provider's own outage.
func TestRestart_HoldDoesNotRunWhileTheProviderIsAway(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 15 * time.Second}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		w.sw.noPay.Store(true)
		id := w.place(t, request("hold"))
		w.await(t, id, in(market.Paused))
		w.stopProv()
		w.sw.noPay.Store(false)
		time.Sleep(3 * time.Minute) // the hold is two
		w.startProvider(t)
		w.exact(t, w.await(t, id, over), market.CodeCompleted, before)
	})
}
