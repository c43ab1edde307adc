package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// TestIdleStop_SilentJob_Ends: a job that is neither heard nor used for its idle_stop is stopped, paid for what it ran.
func TestIdleStop_SilentJob_Ends(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		r := request("idle")
		r.File.Limits.IdleStop = 5 * time.Minute
		id := w.place(t, r)
		time.Sleep(4 * time.Minute)
		v := w.await(t, id, over)
		w.exact(t, v, "idle-stop", before)
		if ran := time.Duration(v.Lease.ClaimMS) * time.Millisecond; ran < 5*time.Minute || ran > 6*time.Minute {
			t.Errorf("it ran %s", ran)
		}
	})
}

// TestTTL_BeforeALease_EndsTheOrder: an order that finds nobody ends when its longest life is over; nothing is spent.
func TestTTL_BeforeALease_EndsTheOrder(t *testing.T) {
	t.Parallel()
	s := setup{work: time.Hour, change: func(p *provider.Config, _ *customer.Config) {}}
	simulate(t, s, func(t *testing.T, w *world) {
		wallet := w.chain.Balance(w.payer)
		rented := w.place(t, request("rents"))
		w.await(t, rented, running)
		wallet2 := w.chain.Balance(w.payer)
		r := request("late")
		r.File.Limits.TTL = time.Minute
		placed := time.Now()
		v := w.await(t, w.place(t, r), over)
		if lived := time.Since(placed); v.Code != "order-expired" || v.Deposit != 0 || lived > 61*time.Second {
			t.Errorf("%s %s after %s, deposit %d", v.Standing, v.Code, lived, v.Deposit)
		}
		if wallet2 != w.chain.Balance(w.payer) || wallet2 >= wallet {
			t.Errorf("the wallet went from %d to %d", wallet2, w.chain.Balance(w.payer))
		}
	})
}

// TestTTL_DuringALease_StopsTheJob: the same with a job that runs: it is stopped, and paid for what it ran.
func TestTTL_DuringALease_StopsTheJob(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		r := request("ttl")
		r.File.Limits.TTL = 2 * time.Minute
		placed := time.Now()
		id := w.place(t, r)
		w.await(t, id, in(market.Running))
		v := w.await(t, id, over)
		w.exact(t, v, "order-expired", before)
		if lived := time.Since(placed); lived < 2*time.Minute || lived > 3*time.Minute {
			t.Errorf("it lived %s", lived)
		}
	})
}
