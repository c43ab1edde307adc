package nodetest

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// worstUnpaid polls the provider's lease until it is over and returns the most that was ever unpaid.
func (w *world) worstUnpaid(t *testing.T, v customer.View) (worst market.Amount) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		m := w.sold(t, v)
		worst = max(worst, m.Owed()-min(m.Paid, m.Owed()))
		if m.State >= market.Closing {
			return worst
		}
		if time.Now().After(end) {
			t.Fatalf("the lease stays %s", m.State)
		}
	}
}

// shortHold ends what is not paid after three ticks.
func shortHold(p *provider.Config, _ *customer.Config) { p.Hold = 30 * time.Second }

// TestPay_Stops_FrozenEndedRemembered: a customer who has paid before and then does not is frozen before one tick is
// unpaid and ended after the hold; its next order is refused until a late payment covers the debt, over a restart of
// the provider too.
func TestPay_Stops_FrozenEndedRemembered(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second, change: shortHold}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		keep := request("known")
		keep.KeepChannel = true
		known := w.await(t, w.place(t, keep), over)
		if known.Code != market.CodeCompleted || !known.RefundLater {
			t.Fatalf("%s %s, refund later %v", known.Standing, known.Code, known.RefundLater)
		}
		w.engine.SetWork(time.Hour)
		id := w.place(t, request("debtor"))
		v := w.await(t, id, running)
		if v.Channel != known.Channel {
			t.Errorf("the kept channel was not used again")
		}
		w.sw.noPay.Store(true)
		if worst := w.worstUnpaid(t, v); worst >= tickPrice || worst < tickPrice-tickPrice/20 {
			t.Errorf("%d were unpaid at the worst, a tick costs %d", worst, tickPrice)
		}
		m := w.sold(t, v)
		if m.Code != market.CodePaymentOverdue || m.Fault != market.FaultCustomer || m.Debt == 0 ||
			m.Debt != m.Owed()-m.Paid {
			t.Fatalf("ended as %s, fault %s, owed %d, paid %d, debt %d", m.Code, m.Fault, m.Owed(), m.Paid, m.Debt)
		}
		w.freeAgain(t, 1)
		refused := w.await(t, w.place(t, request("refused")), over)
		if refused.Code != market.CodeQuoteRefused || !strings.Contains(refused.Detail, "debt-unpaid") ||
			refused.Deposit != 0 {
			t.Errorf("a debtor's order ended as %s %s, deposit %d", refused.Code, refused.Detail, refused.Deposit)
		}
		w.stopProv()
		w.startProvider(t)
		until(t, "the debt is forgotten by a restart", func() bool {
			r := w.await(t, w.place(t, request(time.Now().String())), over)
			return strings.Contains(r.Detail, "debt-unpaid")
		})
		w.sw.noPay.Store(false)
		v = w.await(t, id, over)
		w.engine.SetWork(20 * time.Second)
		again := w.await(t, w.place(t, request("again")), over)
		if again.Code != market.CodeCompleted {
			t.Errorf("after the late payment an order ended as %s %s", again.Code, again.Detail)
		}
		// The first two used one channel, which the second one finished.
		if got := w.chain.Balance(w.payout) - before; got != 30*second+v.Paid+20*second || v.Paid != v.Lease.Claim ||
			v.Paid != m.Owed() {
			t.Errorf("payout got %d; claims %d, %d (paid %d), %d", got, known.Lease.Claim, v.Lease.Claim, v.Paid,
				again.Paid)
		}
	})
}

// TestPay_StrangerNever_GetsNothing: a stranger pays its first tick ahead or the job does not run at all; the deposit
// comes back whole.
func TestPay_StrangerNever_GetsNothing(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour, change: shortHold}, func(t *testing.T, w *world) {
		w.sw.noPay.Store(true)
		id := w.place(t, request("never"))
		v := w.await(t, id, in(market.Paused))
		if v.Lease.Cause != market.CauseUnpaid {
			t.Errorf("paused for %q", v.Lease.Cause)
		}
		if worst := w.worstUnpaid(t, v); worst > 0 {
			t.Errorf("%d of work before the first payment", worst)
		}
		v = w.await(t, id, over)
		if v.Code != market.CodePaymentOverdue || v.Paid != 0 || v.Returned != v.Deposit || v.Deposit == 0 {
			t.Errorf("%s %s: paid %d, returned %d of %d", v.Code, v.Detail, v.Paid, v.Returned, v.Deposit)
		}
		w.freeAgain(t, 1)
	})
}

// freeAgain waits until the offer says that n devices are free.
func (w *world) freeAgain(t *testing.T, n uint64) {
	t.Helper()
	until(t, "the devices are not free again", func() bool {
		o := w.cust.Book.Offers()
		return len(o) == 1 && len(o[0].Groups) == 1 && o[0].Groups[0].Free == 1<<n-1
	})
}

// TestAway_CutOff_JobLivesAndIsPaid: with an away allowance a customer that is off the network for several ticks finds
// its job running, never frozen, and pays exactly what it owes.
func TestAway_CutOff_JobLivesAndIsPaid(t *testing.T) {
	t.Parallel()
	away(t, func(_ *testing.T, w *world) { w.sw.cutOff(true) }, func(_ *testing.T, w *world) { w.sw.cutOff(false) })
}

// TestAway_Killed_JobLivesAndIsPaid is the same with the customer's node gone, and none of it lost.
func TestAway_Killed_JobLivesAndIsPaid(t *testing.T) {
	t.Parallel()
	away(t, func(_ *testing.T, w *world) { w.stopCust() }, func(t *testing.T, w *world) { w.startCustomer(t) })
}

// away lets a customer go for nine ticks of its job and come back.
func away(t *testing.T, leave, back func(*testing.T, *world)) {
	t.Helper()
	simulate(t, setup{work: 5 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		r := request("away")
		r.File.Limits.Away = 2 * time.Minute
		id := w.place(t, r)
		v := w.await(t, id, func(v customer.View) bool { return running(v) && v.Lease.Paid > v.Lease.Claim+100*second })
		leave(t, w)
		paused := w.sold(t, v).Meter.PausedMS // the first tick of a stranger may have come late
		time.Sleep(90 * time.Second)          // the outage itself: 9 ticks
		if m := w.sold(t, v); m.State != market.Running || m.Meter.PausedMS != paused {
			t.Errorf("after 9 ticks away the job is %s %s, paused %d ms before and %d after", m.State, m.Cause, paused,
				m.Meter.PausedMS)
		}
		back(t, w)
		v = w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
		if v.Paid != 300*second {
			t.Errorf("paid %d for 5 minutes", v.Paid)
		}
	})
}

// TestPay_NoAway_CutOff_FreezesAndGoesOn: without an allowance the job waits for its customer, unbilled, and then goes
// on.
func TestPay_NoAway_CutOff_FreezesAndGoesOn(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, request("cut"))
		v := w.await(t, id, running)
		w.sw.cutOff(true)
		until(t, "an unpaid job runs on", func() bool { return w.sold(t, v).State == market.Paused })
		ran := w.engine.Ran()
		time.Sleep(time.Minute)
		if more := w.engine.Ran() - ran; more > 0 {
			t.Errorf("the frozen job ran %s", more)
		}
		w.sw.cutOff(false)
		v = w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
		if v.Paid != 30*second {
			t.Errorf("paid %d for 30 s", v.Paid)
		}
	})
}

// TestPay_TwoJobsOneChannel_EachItsShare: two jobs at one rig share a channel; each is billed for itself and the last
// one brings the rest back.
func TestPay_TwoJobsOneChannel_EachItsShare(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 2, work: 40 * time.Second}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		a := w.place(t, request("a"))
		w.await(t, a, running)
		until(t, "the deposit does not become final", func() bool { return w.cust.Channels()[0].Account.Deposit > 0 })
		b := w.place(t, request("b"))
		w.await(t, b, running)
		va := w.await(t, a, func(v customer.View) bool { return over(v) && v.Finished })
		vb := w.await(t, b, func(v customer.View) bool { return over(v) && v.Finished })
		if va.Code != market.CodeCompleted || vb.Code != market.CodeCompleted || va.Channel != vb.Channel {
			t.Fatalf("%s %s on %s, %s %s on %s", va.Code, va.Detail, va.Channel, vb.Code, vb.Detail, vb.Channel)
		}
		if va.Paid != 40*second || vb.Paid != 40*second || va.Paid+vb.Paid != w.chain.Balance(w.payout)-before {
			t.Errorf("claims %d and %d, paid %d and %d, payout got %d", va.Lease.Claim, vb.Lease.Claim, va.Paid,
				vb.Paid, w.chain.Balance(w.payout)-before)
		}
		if va.Returned != 0 || va.Paid+vb.Paid+vb.Returned != vb.Deposit {
			t.Errorf("deposit %d, paid %d and %d, returned %d and %d", vb.Deposit, va.Paid, vb.Paid, va.Returned,
				vb.Returned)
		}
		if n := len(w.cust.Channels()); n != 1 {
			t.Errorf("%d channels", n)
		}
		w.freeAgain(t, 2)
	})
}

// TestPay_PlacedTogether_BothExact: two orders placed together end exactly, whatever channels they took.
func TestPay_PlacedTogether_BothExact(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 2, work: 20 * time.Second}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		ids := []market.OrderID{w.place(t, request("x")), w.place(t, request("y"))}
		var paid market.Amount
		for _, id := range ids {
			v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
			if v.Code != market.CodeCompleted || v.Paid != 20*second {
				t.Errorf("%s %s: paid %d, claim %d; %+v", v.Code, v.Detail, v.Paid, v.Lease.Claim, v.Steps)
			}
			paid += v.Paid
		}
		if got := w.chain.Balance(w.payout) - before; got != paid {
			t.Errorf("payout got %d of %d", got, paid)
		}
	})
}

// TestPay_DepositRunsOut_EndsInOrder: a deposit that is not topped up ends its job while it still carries the stop, so
// nothing is left unpaid.
func TestPay_DepositRunsOut_EndsInOrder(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		h := w.newHand(t, 10)
		const deposit = 61 * second // the least: stop grace and six ticks
		lease, ch := h.deal(deposit)
		if stored, err := h.pay(h.session(), lease, ch, deposit, deposit, nil); err != nil || stored != deposit {
			t.Fatalf("stored %d, %v", stored, err)
		}
		until(t, "the lease does not end", func() bool { return w.prov.Leases()[0].Lease.State >= market.Closing })
		m := w.prov.Leases()[0].Lease
		// it carries 11 s at the end: the grace and a tick
		if m.Code != market.CodeChannelLow || m.Fault != market.FaultCustomer || m.Debt != 0 || m.Owed() < 50*second ||
			m.Owed() > 52*second {
			t.Errorf("ended as %s, fault %s, owed %d of %d, debt %d", m.Code, m.Fault, m.Owed(), deposit, m.Debt)
		}
	})
}
