package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// simulate runs f on a world in virtual time, with the product's own tick, hold and slot time. Not in parallel: it needs the processor
// that the worlds in real time would wait for.
func simulate(t *testing.T, work time.Duration, f func(t *testing.T, n *p2ptest.Net, w *world)) {
	t.Helper()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		start := time.Now()
		clock, err := lease.ClockOf(func() (time.Duration, error) { return time.Hour + time.Since(start), nil }, "virtual")
		if err != nil {
			t.Fatal(err)
		}
		chain := escrowtest.NewChain(escrowtest.Options{Seed: t.Name(), SlotTime: 400 * time.Millisecond, Start: start}) // its clock is the world's
		f(t, n, build(t, n, clock, chain, 1, work, func(p *provider.Config, c *customer.Config) {
			p.Tick, p.Hold = 10*time.Second, 2*time.Minute
			c.AwayMax = 2_000_000_000
		}))
	})
}

// long is a request for a job of up to hours, with the default away allowance.
func long(w *world) customer.Request {
	w.chain.Fund(w.payer, 100_000_000_000)
	r := request("long")
	r.MaxTotal, r.MaxDuration, r.Away, r.StopGrace = 10_000_000_000, 2*time.Hour, 15*time.Minute, 30*time.Second
	return r
}

// TestSim_FirstPaidJob is TestFlow_FirstPaidJob in virtual time: five minutes of work are paid to the unit.
func TestSim_FirstPaidJob(t *testing.T) {
	simulate(t, 5*time.Minute, func(t *testing.T, _ *p2ptest.Net, w *world) {
		before := w.chain.Balance(w.payout)
		v := w.wait(t, w.place(t, long(w)), 10*time.Minute, over)
		w.exact(t, v, "completed", before)
		if v.Paid != 300*tick {
			t.Errorf("paid %d for 5 minutes", v.Paid)
		}
		if !v.BothSigned || !v.OutputsReady {
			t.Errorf("outcome signed by both: %v, outputs here: %v", v.BothSigned, v.OutputsReady)
		}
		p2ptest.Eventually(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
		w.freeAgain(t, 1)
	})
}

// TestSim_CustomerCutOff_JobLivesAndIsPaid: a minute without its customer, in whatever direction, neither stops nor discounts a job.
func TestSim_CustomerCutOff_JobLivesAndIsPaid(t *testing.T) {
	for name, cut := range map[string]func(*p2ptest.Net, *world){
		"off":           func(n *p2ptest.Net, w *world) { n.Off(w.ch) },
		"unheard":       func(n *p2ptest.Net, w *world) { n.OneWay(w.ch, w.ph) },
		"hears nothing": func(n *p2ptest.Net, w *world) { n.OneWay(w.ph, w.ch) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 10*time.Minute, func(t *testing.T, n *p2ptest.Net, w *world) {
				before := w.chain.Balance(w.payout)
				id := w.place(t, long(w))
				v := w.wait(t, id, time.Minute, running)
				time.Sleep(3 * time.Minute) // nothing is signed ahead for a stranger
				paused := w.sold(t, v).Meter.PausedMS
				cut(n, w)
				time.Sleep(time.Minute)
				if m := w.sold(t, v); m.State != market.Running || m.Meter.PausedMS != paused {
					t.Errorf("after a minute the job is %s %s, paused %d ms before and %d after", m.State, m.Cause, paused, m.Meter.PausedMS)
				}
				n.Heal()
				v = w.wait(t, id, 15*time.Minute, over)
				w.exact(t, v, "completed", before)
				if v.Paid != 600*tick {
					t.Errorf("paid %d for 10 minutes", v.Paid)
				}
			})
		})
	}
}

// TestSim_CustomerGone_EndsWithinOneTick: when the allowance is used up the job is frozen, held and ended with less than a tick unpaid, which
// the customer pays when it is back.
func TestSim_CustomerGone_EndsWithinOneTick(t *testing.T) {
	simulate(t, 2*time.Hour, func(t *testing.T, n *p2ptest.Net, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, long(w))
		v := w.wait(t, id, time.Minute, running)
		time.Sleep(3 * time.Minute)
		n.Off(w.ch)
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
		if unpaid := m.Owed() - min(m.Paid, m.Owed()); m.State < market.Closing || m.Code != "payment-overdue" || unpaid >= 10*tick {
			t.Errorf("after 18 minutes the job is %s %s, %d unpaid", m.State, m.Code, unpaid)
		}
		n.Heal()
		v = w.wait(t, id, 10*time.Minute, over)
		w.exact(t, v, "payment-overdue", before)
		if v.Paid != m.Owed() {
			t.Errorf("paid %d of %d", v.Paid, m.Owed())
		}
	})
}

// TestSim_ProviderSilent_SettlesLastVoucher: a provider that nobody hears any more freezes and ends the job, gets what its last voucher says
// from the chain, and when it is back both end on the same sum.
func TestSim_ProviderSilent_SettlesLastVoucher(t *testing.T) {
	simulate(t, 2*time.Hour, func(t *testing.T, n *p2ptest.Net, w *world) {
		before := w.chain.Balance(w.payout)
		r := long(w)
		r.Away = 0
		id := w.place(t, r)
		v := w.wait(t, id, time.Minute, running)
		time.Sleep(3 * time.Minute)
		n.Off(w.ph)
		v = w.wait(t, id, time.Minute, in(market.Silent))
		time.Sleep(3 * time.Minute)
		m := w.sold(t, v)
		if m.Code != "payment-overdue" || m.Owed() > m.Paid {
			t.Errorf("after 3 minutes the job is %s %s, owed %d, paid %d", m.State, m.Code, m.Owed(), m.Paid)
		}
		time.Sleep(15 * time.Minute) // ten after the end it settles without a Release
		if got := w.chain.Balance(w.payout) - before; got > m.Owed() || m.Owed()-got > 5*tick {
			t.Errorf("the chain paid %d of %d, vouchers are half a tick apart", got, m.Owed())
		}
		if v = w.wait(t, id, 30*time.Minute, in(market.Closing)); v.Lease.Code != "provider-silent" {
			t.Errorf("the customer ends the job as %s", v.Lease.Code)
		}
		n.Heal()
		v = w.wait(t, id, 10*time.Minute, over)
		w.exact(t, v, "provider-silent", before)
		if v.Paid != m.Owed() {
			t.Errorf("paid %d of %d", v.Paid, m.Owed())
		}
	})
}
