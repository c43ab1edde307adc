package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// long is a request for a job of up to hours, with the default away allowance.
func long() customer.Request {
	r := request("long")
	r.MaxTotal, r.MaxDuration, r.Away, r.StopGrace = 10_000_000_000, 2*time.Hour, 15*time.Minute, 30*time.Second
	return r
}

// TestSim_FirstPaidJob is TestFlow_FirstPaidJob in virtual time: five minutes of work are paid to the unit.
func TestSim_FirstPaidJob(t *testing.T) {
	simulate(t, setup{work: 5 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, long())
		time.Sleep(5 * time.Minute)
		v := w.await(t, id, over)
		w.exact(t, v, "completed", before)
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

// TestSim_CustomerCutOff_JobLivesAndIsPaid: a minute without its customer, in whatever direction, neither stops nor discounts a job.
func TestSim_CustomerCutOff_JobLivesAndIsPaid(t *testing.T) {
	for name, cut := range map[string]func(*world){
		"off":           func(w *world) { w.sim.Off(w.ch) },
		"unheard":       func(w *world) { w.sim.OneWay(w.ch, w.ph) },
		"hears nothing": func(w *world) { w.sim.OneWay(w.ph, w.ch) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, setup{work: 10 * time.Minute}, func(t *testing.T, w *world) {
				before := w.chain.Balance(w.payout)
				id := w.place(t, long())
				v := w.await(t, id, running)
				time.Sleep(3 * time.Minute) // nothing is signed ahead for a stranger
				paused := w.sold(t, v).Meter.PausedMS
				cut(w)
				time.Sleep(time.Minute)
				if m := w.sold(t, v); m.State != market.Running || m.Meter.PausedMS != paused {
					t.Errorf("after a minute the job is %s %s, paused %d ms before and %d after", m.State, m.Cause, paused, m.Meter.PausedMS)
				}
				w.sim.Heal()
				time.Sleep(5 * time.Minute)
				v = w.await(t, id, over)
				w.exact(t, v, "completed", before)
				if v.Paid != 600*second {
					t.Errorf("paid %d for 10 minutes", v.Paid)
				}
			})
		})
	}
}

// TestSim_CustomerGone_EndsWithinOneTick: when the allowance is used up the job is frozen, held and ended with less than a tick unpaid, which
// the customer pays when it is back.
func TestSim_CustomerGone_EndsWithinOneTick(t *testing.T) {
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
		if unpaid := m.Owed() - min(m.Paid, m.Owed()); m.State < market.Closing || m.Code != "payment-overdue" || unpaid >= 10*second {
			t.Errorf("after 18 minutes the job is %s %s, %d unpaid", m.State, m.Code, unpaid)
		}
		w.sim.Heal()
		v = w.await(t, id, over)
		w.exact(t, v, "payment-overdue", before)
		if v.Paid != m.Owed() {
			t.Errorf("paid %d of %d", v.Paid, m.Owed())
		}
	})
}

// TestSim_ProviderSilent_SettlesLastVoucher: a provider that nobody hears any more freezes and ends the job, gets what its last voucher says
// from the chain, and when it is back both end on the same sum.
func TestSim_ProviderSilent_SettlesLastVoucher(t *testing.T) {
	simulate(t, setup{work: 2 * time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		r := long()
		r.Away = 0
		id := w.place(t, r)
		v := w.await(t, id, running)
		time.Sleep(3 * time.Minute)
		w.sim.Off(w.ph)
		v = w.await(t, id, in(market.Silent))
		time.Sleep(3 * time.Minute)
		m := w.sold(t, v)
		if m.Code != "payment-overdue" || m.Owed() > m.Paid {
			t.Errorf("after 3 minutes the job is %s %s, owed %d, paid %d", m.State, m.Code, m.Owed(), m.Paid)
		}
		time.Sleep(15 * time.Minute) // ten after the end it settles without a Release
		if got := w.chain.Balance(w.payout) - before; got > m.Owed() || m.Owed()-got > 5*second {
			t.Errorf("the chain paid %d of %d, vouchers are half a tick apart", got, m.Owed())
		}
		time.Sleep(12 * time.Minute) // unheard for half an hour, it is given up
		if v = w.await(t, id, in(market.Closing)); v.Lease.Code != "provider-silent" {
			t.Errorf("the customer ends the job as %s", v.Lease.Code)
		}
		w.sim.Heal()
		v = w.await(t, id, over)
		w.exact(t, v, "provider-silent", before)
		if v.Paid != m.Owed() {
			t.Errorf("paid %d of %d", v.Paid, m.Owed())
		}
	})
}
