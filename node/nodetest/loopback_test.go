package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// works waits until the provider has metered some work, beyond what it had.
func (w *world) works(t *testing.T, v customer.View, had uint64) {
	t.Helper()
	until(t, "nothing is metered", func() bool {
		return len(w.prov.Leases()) == 1 &&
			w.sold(t, v).Meter.BillableMS > had
	})
}

// endsBilled ends the job of an order and checks that the rate's price of what was metered is paid, to the unit, and
// the rest is back.
func (w *world) endsBilled(t *testing.T, v customer.View, placed time.Time, before market.Amount) {
	t.Helper()
	w.engine.SetWork(0)
	v = w.await(t, v.ID, over)
	w.exact(t, v, market.CodeCompleted, before)
	passed := time.Since(placed)
	price, err := v.Rate.For(1, time.Duration(v.Lease.ClaimMS)*time.Millisecond)
	if err != nil || v.Paid != price || v.Paid == 0 || v.Lease.ClaimMS > uint64(passed.Milliseconds()) {
		t.Errorf("paid %d, %d ms at the quote's rate are %d (%v), %s have passed", v.Paid, v.Lease.ClaimMS, price, err,
			passed)
	}
	if !v.BothSigned || !v.OutputsReady {
		t.Errorf("outcome signed by both: %v, outputs here: %v", v.BothSigned, v.OutputsReady)
	}
	if n := w.engine.Started(); n != 1 {
		t.Errorf("the job was started %d times", n)
	}
	until(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
	w.freeAgain(t, 1)
}

// TestLoopback_FirstPaidJob is TestSim_FirstPaidJob with the machine's own network and clock, else the simulation would
// only test itself.
func TestLoopback_FirstPaidJob(t *testing.T) {
	t.Parallel()
	w := loopback(t)
	placed, before := time.Now(), w.chain.Balance(w.payout)
	v := w.await(t, w.place(t, request("one")), running)
	w.works(t, v, 0)
	w.endsBilled(t, v, placed, before)
}

// TestLoopback_ProviderRestarts is TestFlow_ProviderRestarts_AdoptsAndBillsOnce likewise.
func TestLoopback_ProviderRestarts(t *testing.T) {
	t.Parallel()
	w := loopback(t)
	placed, before := time.Now(), w.chain.Balance(w.payout)
	v := w.await(t, w.place(t, request("restart")), running)
	w.works(t, v, 0)
	w.stopProv()
	had := w.sold(t, v).Meter.BillableMS
	w.startProvider(t)
	w.works(t, v, had)
	w.endsBilled(t, v, placed, before)
}
