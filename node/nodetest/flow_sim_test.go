package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/runtime/spec"
)

// long is a request for a job of up to hours, with the default away allowance.
func long() customer.Request {
	r := request("long")
	r.File.Limits.MaxTotal, r.File.Limits.MaxDuration, r.File.Limits.Away, r.File.StopGrace = 10_000_000_000,
		2*time.Hour, 15*time.Minute, 30*time.Second
	return r
}

// TestSim_FirstPaidJob runs an order from the book to the refund: five minutes of work are paid to the unit, the rest
// comes back.
func TestSim_FirstPaidJob(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 5 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, long())
		time.Sleep(5 * time.Minute)
		v := w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
		if v.Paid != 300*second {
			t.Errorf("paid %d for 5 minutes", v.Paid)
		}
		if !v.BothSigned || !v.OutputsReady {
			t.Errorf("outcome signed by both: %v, outputs here: %v", v.BothSigned, v.OutputsReady)
		}
		until(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
		w.freeAgain(t, 1)
	})
}

// TestFlow_ImageMissing_CostsNothing ends unpaid, says why, and frees the device.
func TestFlow_ImageMissing_CostsNothing(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		r := request("missing")
		r.Image.Ref = "missing"
		id := w.place(t, r)
		v := w.await(t, id, over)
		if v.Code != market.CodeImageNotFound || v.Paid != 0 || v.Returned != v.Deposit {
			t.Fatalf("%s %s: paid %d, returned %d of %d; %+v", v.Standing, v.Code, v.Paid, v.Returned, v.Deposit,
				v.Steps)
		}
		w.freeAgain(t, 1)
	})
}

// TestFlow_OrderTooLarge_Refused costs nothing and explains.
func TestFlow_OrderTooLarge_Refused(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		r := request("large")
		r.File.GPU = spec.GPU{AnyOf: []string{market.ClassCPU}, Count: 8}
		id := w.place(t, r)
		if v := w.await(t, id, over); v.Code != market.CodeNoOfferFits || v.Deposit != 0 {
			t.Fatalf("%s %s %s", v.Standing, v.Code, v.Detail)
		}
	})
}

// TestFlow_Stop_PaysWhatRan ends a long job on the user's word.
func TestFlow_Stop_PaysWhatRan(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		id := w.place(t, request("stop"))
		v := w.await(t, id, running)
		time.Sleep(20 * time.Second)
		ran := w.sold(t, v).Owed()
		if err := w.cust.StopOrder(context.Background(), id.String(), false); err != nil {
			t.Fatal(err)
		}
		v = w.await(t, id, over)
		if v.Code != market.CodeStopped || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit {
			t.Fatalf("%s %s: paid %d, claim %d, returned %d of %d", v.Standing, v.Code, v.Paid, v.Lease.Claim,
				v.Returned, v.Deposit)
		}
		if v.Paid < 20*second || v.Paid < ran || v.Paid > ran+second { // the order to stop travels
			t.Errorf("paid %d, %d had run", v.Paid, ran)
		}
	})
}

// TestFlow_ProviderRestarts_AdoptsAndBillsOnce ends the provider's role in the middle of a job: the job runs on, is
// adopted, and is paid to the unit; what nobody observed is free beyond one tick.
func TestFlow_ProviderRestarts_AdoptsAndBillsOnce(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 70 * time.Second}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, request("restart"))
		w.await(t, id, func(v customer.View) bool {
			return v.Lease != nil && v.Lease.State == market.Running && v.Lease.ClaimMS > 10_000
		})
		w.stopProv()
		time.Sleep(25 * time.Second) // the outage itself: 2.5 ticks
		w.startProvider(t)
		v := w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
		if v.Lease.ClaimMS != 55_000 {
			t.Errorf("billed %d ms of 70 s with a 25 s outage at a tick of 10 s", v.Lease.ClaimMS)
		}
	})
}

// TestSim_CustomerCutOff_JobLivesAndIsPaid: a minute without its customer, in whatever direction, neither stops nor
// discounts a job.
func TestSim_CustomerCutOff_JobLivesAndIsPaid(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	for name, cut := range map[string]func(*world){
		"off":           func(w *world) { w.sim.Off(w.ch) },
		"unheard":       func(w *world) { w.sim.OneWay(w.ch, w.ph) },
		"hears nothing": func(w *world) { w.sim.OneWay(w.ph, w.ch) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 10 * time.Minute}, func(t *testing.T, w *world) {
				before := w.chain.Balance(w.payout)
				id := w.place(t, long())
				v := w.await(t, id, running)
				time.Sleep(3 * time.Minute) // nothing is signed ahead for a stranger
				paused := w.sold(t, v).Meter.PausedMS
				cut(w)
				time.Sleep(time.Minute)
				if m := w.sold(t, v); m.State != market.Running || m.Meter.PausedMS != paused {
					t.Errorf("after a minute the job is %s %s, paused %d ms before and %d after", m.State, m.Cause,
						paused, m.Meter.PausedMS)
				}
				w.sim.Heal()
				time.Sleep(5 * time.Minute)
				v = w.await(t, id, over)
				w.exact(t, v, market.CodeCompleted, before)
				if v.Paid != 600*second {
					t.Errorf("paid %d for 10 minutes", v.Paid)
				}
			})
		})
	}
}

// TestSim_CustomerGone_EndsWithinOneTick: when the allowance is used up the job is frozen, held and ended with less
// than a tick unpaid, which the customer pays when it is back.
func TestSim_CustomerGone_EndsWithinOneTick(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 2 * time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, long())
		v := w.await(t, id, running)
		time.Sleep(3 * time.Minute)
		w.sim.Off(w.ch)
		time.Sleep(14 * time.Minute)
		if m := w.sold(t, v); m.State != market.Running {
			t.Errorf("after 14 of 15 minutes the job is %s %s", m.State, m.Cause)
		}
		time.Sleep(2 * time.Minute)
		if m := w.sold(t, v); m.State != market.Paused || m.Cause != market.CauseUnpaid {
			t.Errorf("after 16 minutes the job is %s %s", m.State, m.Cause)
		}
		time.Sleep(2 * time.Minute)
		m := w.sold(t, v)
		if unpaid := m.Owed() - min(m.Paid, m.Owed()); m.State < market.Closing ||
			m.Code != market.CodePaymentOverdue ||
			unpaid >= 10*second {
			t.Errorf("after 18 minutes the job is %s %s, %d unpaid", m.State, m.Code, unpaid)
		}
		w.sim.Heal()
		v = w.await(t, id, over)
		w.exact(t, v, market.CodePaymentOverdue, before)
		if v.Paid != m.Owed() {
			t.Errorf("paid %d of %d", v.Paid, m.Owed())
		}
	})
}

// TestSim_ProviderSilent_SettlesLastVoucher: a provider that nobody hears any more freezes and ends the job, gets what
// its last voucher says from the chain, and when it is back both end on the same sum.
func TestSim_ProviderSilent_SettlesLastVoucher(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 2 * time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		r := long()
		r.File.Limits.Away = 0
		id := w.place(t, r)
		w.await(t, id, running)
		time.Sleep(3 * time.Minute)
		w.sim.Off(w.ph)
		v := w.await(t, id, in(market.Silent))
		time.Sleep(3 * time.Minute)
		m := w.sold(t, v)
		if m.Code != market.CodePaymentOverdue || m.Owed() > m.Paid {
			t.Errorf("after 3 minutes the job is %s %s, owed %d, paid %d", m.State, m.Code, m.Owed(), m.Paid)
		}
		time.Sleep(15 * time.Minute) // ten after the end it settles without a Release
		if got := w.chain.Balance(w.payout) - before; got > m.Owed() || m.Owed()-got > 5*second {
			t.Errorf("the chain paid %d of %d, vouchers are half a tick apart", got, m.Owed())
		}
		time.Sleep(8 * time.Minute) // given up, with five minutes left in which it may still end the job itself
		if v = w.await(t, id, in(market.Closing)); v.Lease.Code != market.CodeProviderSilent {
			t.Errorf("the customer ends the job as %s", v.Lease.Code)
		}
		w.sim.Heal()
		v = w.await(t, id, over)
		w.exact(t, v, market.CodeProviderSilent, before)
		if v.Paid != m.Owed() {
			t.Errorf("paid %d of %d", v.Paid, m.Owed())
		}
	})
}
