package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// billed reports that the provider has asked to be paid for some work.
func billed(v customer.View) bool { return running(v) && v.Lease.ClaimMS > 0 }

// endsBilled ends the job of an order and checks that the rate's price of what was metered is paid, to the unit, and the rest is back.
func (w *world) endsBilled(t *testing.T, v customer.View, placed time.Time, before market.Amount) {
	t.Helper()
	w.engine.SetWork(0)
	v = w.await(t, v.ID, over)
	w.exact(t, v, "completed", before)
	passed := time.Since(placed)
	price, err := v.Rate.For(1, time.Duration(v.Lease.ClaimMS)*time.Millisecond)
	if err != nil || v.Paid != price || v.Paid == 0 || v.Lease.ClaimMS > uint64(passed.Milliseconds()) {
		t.Errorf("paid %d, %d ms at the quote's rate are %d (%v), %s have passed", v.Paid, v.Lease.ClaimMS, price, err, passed)
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

// TestLoopback_FirstPaidJob is TestSim_FirstPaidJob with the machine's own network and clock, else the simulation would only test itself.
func TestLoopback_FirstPaidJob(t *testing.T) {
	t.Parallel()
	w := loopback(t)
	placed, before := time.Now(), w.chain.Balance(w.payout)
	v := w.await(t, w.place(t, request("one")), billed)
	w.endsBilled(t, v, placed, before)
}

// TestLoopback_ProviderRestarts is TestFlow_ProviderRestarts_AdoptsAndBillsOnce likewise.
func TestLoopback_ProviderRestarts(t *testing.T) {
	t.Parallel()
	w := loopback(t)
	placed, before := time.Now(), w.chain.Balance(w.payout)
	v := w.await(t, w.place(t, request("restart")), billed)
	w.stopProv()
	w.startProvider(t)
	until(t, "the lease is forgotten", func() bool { return len(w.prov.Leases()) == 1 })
	claim := w.sold(t, v).Claim
	v = w.await(t, v.ID, func(v customer.View) bool { return billed(v) && v.Lease.Claim > claim })
	w.endsBilled(t, v, placed, before)
}
