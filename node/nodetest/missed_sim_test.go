package nodetest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// absence is one way in which a customer hears nothing of its job.
type absence struct{ leave, back func(*world, *testing.T) }

var absences = map[string]absence{
	"killed":  {func(w *world, _ *testing.T) { w.stopCust() }, (*world).startCustomer},
	"cut off": {func(w *world, _ *testing.T) { w.sim.Off(w.ch) }, func(w *world, _ *testing.T) { w.sim.Heal() }},
}

// missed places an order, lets its customer leave while it is prepared, and comes back once the job is over at the
// provider and longer has passed since.
func missed(t *testing.T, w *world, a absence, r customer.Request, longer time.Duration) market.OrderID {
	t.Helper()
	if v := w.await(t, w.place(t, request("first")), over); v.Code != market.CodeCompleted {
		t.Fatalf("%s %s", v.Code, v.Detail) // after it the customer is no stranger, who would pay before the work
	}
	w.engine.Hold(true)
	id := w.place(t, r)
	v := w.await(t, id, in(market.Preparing))
	until(t, "the provider does not prepare", func() bool { return w.sold(t, v).State == market.Preparing })
	a.leave(w, t)
	w.engine.Hold(false)
	until(t, "the job does not end", func() bool { return w.sold(t, v).State == market.Closing })
	time.Sleep(longer)
	a.back(w, t)
	return id
}

// TestMissed_JobOfLessThanATick_LosesNothing: a job that starts and ends while nobody of its customer listens is paid,
// and its outputs, exit code and reason come all the same.
func TestMissed_JobOfLessThanATick_LosesNothing(t *testing.T) {
	t.Parallel()
	for name, a := range absences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 6 * time.Second}, func(t *testing.T, w *world) {
				id := missed(t, w, a, request("missed"), 10*time.Second)
				before := w.chain.Balance(w.payout)
				v := w.await(t, id, over)
				w.exact(t, v, market.CodeCompleted, before)
				w.hasOutputs(t, v)
				if v.ReadyAt.IsZero() || v.Paid != 6*second || !v.BothSigned {
					t.Errorf("ready at %s, paid %d for 6 s, signed by both: %v", v.ReadyAt, v.Paid, v.BothSigned)
				}
			})
		})
	}
}

// TestMissed_LongerThanTheStartTimeout_IsNoTimeout: a customer that comes back after its own deadline asks what became
// of the job before it says that it never started.
func TestMissed_LongerThanTheStartTimeout_IsNoTimeout(t *testing.T) {
	t.Parallel()
	for name, a := range absences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 6 * time.Second}, func(t *testing.T, w *world) {
				r := request("timeout")
				r.File.Limits.StartTimeout = time.Minute
				id := missed(t, w, a, r, 4*time.Minute)
				before := w.chain.Balance(w.payout)
				v := w.await(t, id, over)
				w.exact(t, v, market.CodeCompleted, before)
				w.hasOutputs(t, v)
			})
		})
	}
}

// TestMissed_StartTimeout_StillEnds: a job that really does not start in time is ended, also by a customer that was
// away at the deadline.
func TestMissed_StartTimeout_StillEnds(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		w.engine.Hold(true)
		r := request("late")
		r.File.Limits.StartTimeout = time.Minute
		id := w.place(t, r)
		w.await(t, id, in(market.Preparing))
		w.stopCust()
		time.Sleep(90 * time.Second)
		w.startCustomer(t)
		if v := w.await(t, id, over); v.Code != market.CodeStartTimeout || v.Paid != 0 || v.OutputsReady ||
			v.Returned != v.Deposit {
			t.Errorf("%s %s: paid %d, returned %d of %d, outputs %v", v.Standing, v.Code, v.Paid, v.Returned, v.Deposit,
				v.OutputsReady)
		}
	})
}

// TestMissed_StoppedTooLate_SaysHowItEnded: a stop that comes after the job's own end changes neither its reason nor
// its outputs.
func TestMissed_StoppedTooLate_SaysHowItEnded(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 6 * time.Second}, func(t *testing.T, w *world) {
		id := missed(t, w, absences["killed"], request("late stop"), 10*time.Second)
		before := w.chain.Balance(w.payout)
		until(t, "the order is not known again",
			func() bool { return w.cust.StopOrder(context.Background(), id.String(), false) == nil })
		v := w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
		w.hasOutputs(t, v)
	})
}

// hasOutputs fails unless the order's outputs lie in the customer's spool.
func (w *world) hasOutputs(t *testing.T, v customer.View) {
	t.Helper()
	if info, err := os.Stat(w.cust.Spool.Outputs(v.ID)); !v.OutputsReady || err != nil || info.Size() == 0 ||
		v.OutputsRoot == ([32]byte{}) {
		t.Errorf("outputs ready: %v, root %x: %v; %s %s, %+v", v.OutputsReady, v.OutputsRoot, err, v.Standing, v.Code,
			v.Steps)
	}
}

// TestMissed_StrangersJob_BringsWhatItMade: a job that is frozen at its start for want of the first payment, and ended,
// has run all the same: what it made comes home, and nothing is paid.
func TestMissed_StrangersJob_BringsWhatItMade(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 6 * time.Second}, func(t *testing.T, w *world) {
		w.engine.Hold(true)
		id := w.place(t, request("stranger"))
		v := w.await(t, id, in(market.Preparing))
		w.stopCust()
		w.engine.Hold(false)
		until(t, "the job does not end", func() bool { return w.sold(t, v).State == market.Closing })
		w.startCustomer(t)
		v = w.await(t, id, over)
		w.hasOutputs(t, v)
		if v.Code != market.CodePaymentOverdue || v.Paid != 0 {
			t.Errorf("%s %s, paid %d", v.Standing, v.Code, v.Paid)
		}
	})
}
