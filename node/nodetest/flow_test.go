package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestFlow_FirstPaidJob runs an order from the book to the refund: what was deposited is paid or returned, to the unit.
func TestFlow_FirstPaidJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3*time.Second, nil)
	payoutBefore := w.chain.Balance(w.payout)
	id, err := w.cust.Place(context.Background(), request("one"))
	if err != nil {
		t.Fatal(err)
	}
	v := w.await(t, id, over)
	if v.Standing != customer.StandingEnded || v.Code != "completed" {
		t.Fatalf("%s: %s %s; %+v", v.Standing, v.Code, v.Detail, v.Steps)
	}
	if !v.BothSigned || !v.OutputsReady {
		t.Errorf("outcome signed by both: %v, outputs here: %v", v.BothSigned, v.OutputsReady)
	}
	owed := v.Lease.Claim
	price, err := v.Rate.For(1, time.Duration(v.Lease.ClaimMS)*time.Millisecond)
	if err != nil || owed != price || owed == 0 { // how long the machine took is not ours to judge
		t.Errorf("owed %d, %d ms at the quote's rate are %d (%v)", owed, v.Lease.ClaimMS, price, err)
	}
	if got := w.chain.Balance(w.payout) - payoutBefore; got != owed || v.Paid != owed {
		t.Errorf("payout got %d, order says %d, owed %d", got, v.Paid, owed)
	}
	if v.Paid+v.Returned != v.Deposit {
		t.Errorf("deposit %d = paid %d + returned %d does not hold", v.Deposit, v.Paid, v.Returned)
	}
	until(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
}

// TestFlow_ImageMissing_CostsNothing ends unpaid, says why, and frees the device.
func TestFlow_ImageMissing_CostsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Second, nil)
	r := request("missing")
	r.Image.Ref = "missing"
	id, err := w.cust.Place(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	v := w.await(t, id, over)
	if v.Code != "image-not-found" || v.Paid != 0 || v.Returned != v.Deposit {
		t.Fatalf("%s %s: paid %d, returned %d of %d; %+v", v.Standing, v.Code, v.Paid, v.Returned, v.Deposit, v.Steps)
	}
	until(t, "the device is not free again", func() bool {
		o := w.cust.Offers()
		return len(o) == 1 && len(o[0].Groups) == 1 && o[0].Groups[0].Free == 1
	})
}

// TestFlow_OrderTooLarge_Refused costs nothing and explains.
func TestFlow_OrderTooLarge_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Second, nil)
	r := request("large")
	r.Devices = 8
	id, err := w.cust.Place(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if v := w.await(t, id, over); v.Code != "no-offer-fits" || v.Deposit != 0 {
		t.Fatalf("%s %s %s", v.Standing, v.Code, v.Detail)
	}
}

// TestFlow_Stop_PaysWhatRan ends a long job on the user's word.
func TestFlow_Stop_PaysWhatRan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour, nil)
	id, err := w.cust.Place(context.Background(), request("stop"))
	if err != nil {
		t.Fatal(err)
	}
	w.await(t, id, func(v customer.View) bool { return v.Lease != nil && v.Lease.State == market.Running && v.Signed > 0 })
	if err := w.cust.StopOrder(context.Background(), id.String(), false); err != nil {
		t.Fatal(err)
	}
	v := w.await(t, id, over)
	if v.Code != "stopped" || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit {
		t.Fatalf("%s %s: paid %d, claim %d, returned %d of %d", v.Standing, v.Code, v.Paid, v.Lease.Claim, v.Returned, v.Deposit)
	}
}

// TestFlow_ProviderRestarts_AdoptsAndBillsOnce ends the provider's role in the middle of a job: the job runs on, is adopted, and is paid to
// the unit; what nobody observed is free beyond one tick.
func TestFlow_ProviderRestarts_AdoptsAndBillsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 7*time.Second, nil)
	before := w.chain.Balance(w.payout)
	id, err := w.cust.Place(context.Background(), request("restart"))
	if err != nil {
		t.Fatal(err)
	}
	w.await(t, id, func(v customer.View) bool {
		return v.Lease != nil && v.Lease.State == market.Running && v.Lease.ClaimMS > 1000
	})
	w.stopProv()
	time.Sleep(2500 * time.Millisecond) // the outage itself: 2.5 ticks
	w.startProvider(t)
	v := w.await(t, id, over)
	if v.Code != "completed" || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit || w.chain.Balance(w.payout)-before != v.Paid {
		t.Fatalf("%s %s %s: paid %d, claim %d, returned %d of %d", v.Standing, v.Code, v.Detail, v.Paid, v.Lease.Claim, v.Returned, v.Deposit)
	}
	if v.Lease.ClaimMS > 7100 || v.Lease.ClaimMS < 4000 { // 7 s of work at most, of which 2.5 s less one tick were not seen, unless it was frozen then
		t.Errorf("billed %d ms of 7 s with a 2.5 s outage at a tick of 1 s", v.Lease.ClaimMS)
	}
}
