package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// days sums what the provider's days say.
func days(p *provider.Provider) (earned, settled market.Amount, jobs int) {
	for _, d := range p.Days(time.Time{}) {
		earned, settled, jobs = earned+market.Amount(d.Earned), settled+market.Amount(d.Settled), jobs+d.Jobs
	}
	return earned, settled, jobs
}

// TestSim_Earned_IsWhatTheLedgerPays: jobs that end, are stopped, never start, are paid far ahead, and share a kept
// channel earn together what the payout address gets, to the lamport, across restarts; what is only signed ahead is
// never in it.
//
//nolint:funlen // one story
func TestSim_Earned_IsWhatTheLedgerPays(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 7 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		final := market.Amount(0)
		check := func(when string) {
			t.Helper()
			e := w.prov.Earned()
			earned, settled, _ := days(w.prov)
			if e.Total() != final || e.Settled != settled || e.Total() != earned {
				t.Errorf("%s: earned %d (%+v), days say %d and %d settled; final amounts are %d", when, e.Total(), e,
					earned, settled, final)
			}
		}
		run := func(key string, change func(*customer.Request)) customer.View {
			t.Helper()
			r := long()
			r.Key = key
			change(&r)
			id := w.place(t, r)
			v := w.await(t, id, func(v customer.View) bool { return running(v) || over(v) })
			if !over(v) {
				time.Sleep(4 * time.Minute)
				v = w.await(t, id, running)
				have := w.sold(t, v)
				e := w.prov.Earned() // a long job is claimed while it runs: that much is settled
				if sum := e.Total() + e.Now - final; sum > have.Owed() || sum+2*tickPrice < have.Owed() ||
					have.Paid < have.Owed()+tickPrice || e.Claimable > 0 {
					t.Errorf("%s: %+v with %d owed and %d signed by the running job, %d final before", key, e,
						have.Owed(), have.Paid, final)
				}
			}
			if key == "stopped" {
				if err := w.cust.StopOrder(context.Background(), id.String(), false); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(4 * time.Minute)
			v = w.await(t, id, over)
			final += v.Paid
			until(t, "the job's money is not booked", func() bool { return w.prov.Earned().Total() == final })
			check(key)
			return v
		}
		run("whole", func(*customer.Request) {})
		run("stopped", func(*customer.Request) {})
		run("missing", func(r *customer.Request) { r.Image.Ref = "missing" })
		w.stopProv()
		w.startProvider(t)
		until(t, "the rig does not sell", func() bool { return w.prov.View().Selling })
		check("after a restart")
		final += 420 * second // the customer's books know it only at the close
		r := long()
		r.Key, r.KeepChannel = "kept", true
		id := w.place(t, r)
		time.Sleep(8 * time.Minute)
		v := w.await(t, id, over)
		check("kept channel")
		if e := w.prov.Earned(); e.Claimable != 420*second || v.Finished {
			t.Errorf("kept channel: %+v", e)
		}
		if err := w.cust.CloseChannel(context.Background(), v.Channel); err != nil {
			t.Fatal(err)
		}
		until(t, "the ledger's sums are not seen", func() bool { return w.prov.Earned().Settled == final })
		w.stopProv()
		w.startProvider(t)
		until(t, "the rig does not sell", func() bool { return w.prov.View().Selling })
		check("at the end")
		if got := w.chain.Balance(w.payout) - before; got != final || w.prov.Earned().Claimable != 0 {
			t.Errorf("the payout address got %d, final amounts are %d, %+v", got, final, w.prov.Earned())
		}
		if _, _, jobs := days(w.prov); jobs != 3 {
			t.Errorf("%d jobs ran by the sums, want 3", jobs)
		}
	})
}

// TestSim_Earned_SilentCustomer: a customer that vanished and never comes back is claimed from, and what the claim
// brings is what was earned.
func TestSim_Earned_SilentCustomer(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		w.await(t, w.place(t, long()), running)
		time.Sleep(5 * time.Minute)
		w.stopCust()
		time.Sleep(40 * time.Minute)
		e, got := w.prov.Earned(), w.chain.Balance(w.payout)-before
		if e.Settled == 0 || e.Settled != got || e.Now != 0 {
			t.Errorf("%+v, the payout address got %d", e, got)
		}
		earned, settled, _ := days(w.prov)
		if earned != e.Total() || settled != e.Settled {
			t.Errorf("days say %d and %d settled, earned %+v", earned, settled, e)
		}
	})
}
