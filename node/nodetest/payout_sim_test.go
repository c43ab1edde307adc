package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// rentMinimum is what a plain account holds at least, at 6,960 lamports a byte.
const rentMinimum = market.Amount(128 * 6_960)

// freshPayout gives the provider a payout account that does not exist, and a rate of 100,000 lamports a second.
func freshPayout(p *provider.Config, _ *customer.Config) {
	p.Payout, p.Policy.Rate = addr("fresh"), 360_000_000
}

// paidOut fails unless the payout account gets sum in d.
func (w *world) paidOut(t *testing.T, sum market.Amount, d time.Duration) {
	t.Helper()
	within(t, "the payout account is not paid", d, func() bool { return w.chain.Balance(w.pc.Payout) == sum })
}

// rentsBack fails unless all that the customer ever had is with it again, less what it paid and the fees.
func (w *world) rentsBack(t *testing.T, channels int) {
	t.Helper()
	within(t, "the storage deposits do not come back", 40*time.Minute, func() bool {
		gone := 0
		for _, ch := range w.cust.Channels() {
			if ch.Account.Phase == escrow.PhaseGone {
				gone++
			}
		}
		return gone == channels
	})
}

// job runs one job of d to its end and its refund.
func (w *world) job(t *testing.T, key string, d time.Duration) customer.View {
	t.Helper()
	w.engine.SetWork(d)
	return w.await(t, w.place(t, request(key)), func(v customer.View) bool { return over(v) && v.Finished })
}

// TestPayout_SmallJobsTogether_CreateTheAccount: jobs that are each too small to create the payout account create it
// together; until then both sides say what waits, and the storage deposits come back after it.
func TestPayout_SmallJobsTogether_CreateTheAccount(t *testing.T) {
	t.Parallel()
	simulate(t, setup{change: freshPayout}, func(t *testing.T, w *world) {
		first := w.job(t, "first", 5*time.Second)
		if first.Paid == 0 || first.Paid >= rentMinimum {
			t.Fatalf("paid %d", first.Paid)
		}
		within(t, "the provider does not say what waits", time.Minute, func() bool {
			return w.prov.Waits() == provider.Waits{Sum: first.Paid, Missing: rentMinimum - first.Paid}
		})
		if v, err := w.cust.Order(first.ID.String()); err != nil || v.PayeeWaits != first.Paid {
			t.Errorf("the customer says that %d of %d wait (%v)", v.PayeeWaits, first.Paid, err)
		}
		second := w.job(t, "second", 5*time.Second)
		w.paidOut(t, first.Paid+second.Paid, time.Minute)
		if got := w.prov.Waits(); got != (provider.Waits{}) {
			within(t, "the provider still says that something waits", time.Minute,
				func() bool { return w.prov.Waits() == provider.Waits{} })
		}
		w.rentsBack(t, 2)
	})
}

// TestPayout_FundedLater_IsPaid: a sum that was sealed for an account that did not exist is paid once somebody funds
// it, by the provider, and by the customer where the provider is gone.
func TestPayout_FundedLater_IsPaid(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"provider": false, "customer alone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{change: freshPayout}, func(t *testing.T, w *world) {
				v := w.job(t, "job", 3*time.Second)
				if gone {
					w.stopProv()
				}
				time.Sleep(2 * time.Minute)
				w.chain.Fund(w.pc.Payout, rentMinimum)
				w.paidOut(t, rentMinimum+v.Paid, 25*time.Minute)
				w.rentsBack(t, 1)
			})
		})
	}
}

// TestPayout_RecordedAndCustomerGone_IsPaid: a customer that is gone for ever leaves its provider a voucher: it is
// recorded or claimed, and paid once the account can take it, although nobody closes the channel.
func TestPayout_RecordedAndCustomerGone_IsPaid(t *testing.T) {
	t.Parallel()
	cheap := func(p *provider.Config, c *customer.Config) {
		freshPayout(p, c)
		p.Policy.Rate = 36_000_000
	}
	simulate(t, setup{work: time.Hour, change: cheap}, func(t *testing.T, w *world) {
		v := w.await(t, w.place(t, request("gone")), running)
		time.Sleep(17 * time.Second)
		w.stopCust()
		until(t, "the lease does not end", func() bool {
			return w.sold(t, v).State == market.Ended ||
				w.sold(t, v).State == market.Closing
		})
		within(t, "nothing is recorded", 3*time.Hour, func() bool {
			return w.prov.Waits().Sum > 0 ||
				w.chain.Balance(w.pc.Payout) > 0
		})
		waits := w.prov.Waits().Sum
		w.chain.Fund(w.pc.Payout, rentMinimum)
		w.paidOut(t, rentMinimum+waits, time.Minute)
	})
}

// TestPayout_SmallSum_ClaimedWithinTheHour: what is owed is claimed once its claim costs less than it, although the
// channel stays open.
func TestPayout_SmallSum_ClaimedWithinTheHour(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 500 * time.Millisecond,
		change: func(p *provider.Config, _ *customer.Config) { p.Policy.Rate = 360_000_000 }},
		func(t *testing.T, w *world) {
			w.job(t, "known", 20*time.Second) // a stranger signs one tick ahead, which a job this small does not owe
			w.engine.SetWork(500 * time.Millisecond)
			before := w.chain.Balance(w.payout)
			r := request("small")
			r.KeepChannel = true
			v := w.await(t, w.place(t, r), over)
			if v.Lease.Claim <= 10_000 || v.Lease.Claim >= 200_000 {
				t.Fatalf("claim %d is not small", v.Lease.Claim)
			}
			within(t, "the small sum is not claimed", 65*time.Minute,
				func() bool { return w.chain.Balance(w.payout) == before+v.Lease.Claim })
		})
}

// TestRent_BackInMinutes: the storage deposit of a quick run is not locked for the whole window of the program.
func TestRent_BackInMinutes(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		time.Sleep(20 * time.Minute) // the ledger has a past
		before := w.chain.Balance(w.payer)
		v := w.job(t, "quick", 5*time.Second)
		within(t, "the storage deposit does not come back", 7*time.Minute, func() bool {
			// the claim fee of a new rig and fees; the deposit is 3,563,520
			return before-w.chain.Balance(w.payer) < v.Paid+2_000_000
		})
	})
}
