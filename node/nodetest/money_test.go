package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestSim_InflatedEnd_TakesNoMoreThanIsSigned: a provider that claims ten times its work with the last receipt, in its outcome and in its
// release gets what the customer has signed, and not what it asks for; the rest comes back after the close delay.
func TestSim_InflatedEnd_TakesNoMoreThanIsSigned(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 2 * time.Minute}, func(t *testing.T, w *world) {
		const ms, claimed = 20 * 60_000, 20 * 60 * second
		key, err := escrow.NewKeys(w.pc.Seed).Release(w.chain.ClusterTag(), w.ch.ID(), w.payout, market.Address{})
		if err != nil {
			t.Fatal(err)
		}
		w.sw.lie.Store(&lies{
			key: w.pc.Key, network: w.pc.Network,
			claim: func(r *market.Receipt) {
				if r.Final {
					r.BillableMS, r.Amount = ms, claimed
				}
			},
			outcome: func(o *market.Outcome) { o.BillableMS, o.Amount = ms, claimed },
			release: func(ch market.ChannelID) [114]byte {
				head, err := w.wallet.Head(t.Context())
				if err != nil {
					t.Error(err)
				}
				return escrow.Release{Channel: ch, Final: claimed, Expires: head.Clock.Add(10 * time.Minute).Unix()}.Sign(key).Wire()
			},
		})
		before := w.chain.Balance(w.payout)
		r := long()
		r.Away = 0
		id := w.place(t, r)
		v := w.await(t, id, func(v customer.View) bool { return v.Lease != nil && v.Lease.Claim == claimed })
		if v.Deposit < claimed {
			t.Fatalf("a deposit of %d does not tempt", v.Deposit)
		}
		v = w.await(t, id, over)
		if v.Signed > 140*second || v.BothSigned && v.Lease.OutcomeDone {
			t.Errorf("%d are signed for 2 minutes; outcome agreed: %v", v.Signed, v.Lease.OutcomeDone)
		}
		time.Sleep(70 * time.Minute) // the close delay
		v = w.await(t, id, func(v customer.View) bool { return v.Finished })
		if got := w.chain.Balance(w.payout) - before; got > v.Signed || got != v.Paid || v.Paid+v.Returned != v.Deposit {
			t.Errorf("the provider got %d of %d that were signed; paid %d, returned %d of %d", got, v.Signed, v.Paid, v.Returned, v.Deposit)
		}
	})
}

// TestSim_PlacedAgainAtTheStart_SameOrder: who repeats its request while the node starts gets the order that the store holds, and that order
// keeps its lease.
func TestSim_PlacedAgainAtTheStart_SameOrder(t *testing.T) {
	simulate(t, setup{work: 2 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, long())
		v := w.await(t, id, running)
		w.stopCust()
		w.startCustomer(t)
		if again := w.place(t, long()); again != id {
			t.Errorf("order %s, placed again %s", id, again)
		}
		time.Sleep(3 * time.Minute)
		end := w.await(t, id, over)
		w.exact(t, end, "completed", before)
		if n := len(w.cust.Orders()); n != 1 || end.Lease.ID != v.Lease.ID || w.engine.Started() != 1 {
			t.Errorf("%d orders, lease %s was %s, %d jobs started", n, end.Lease.ID, v.Lease.ID, w.engine.Started())
		}
	})
}
