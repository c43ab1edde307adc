package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestSim_Costs_TopUpAtTheStart_IsTheNewOrders: an order that adds to a kept channel pays that transaction's fee
// itself; the bill of the order before it, which is over, does not change any more.
func TestSim_Costs_TopUpAtTheStart_IsTheNewOrders(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		kept := func(key string, most market.Amount) customer.View {
			t.Helper()
			r := long()
			r.Key, r.KeepChannel, r.File.Limits.MaxTotal = key, true, most
			return w.await(t, w.place(t, r), over)
		}
		const most = 90_000_000 // the job takes 60,000,000: what is left carries no second one
		first := kept("first", most)
		time.Sleep(time.Minute)
		before := w.chain.Balance(w.payer)
		second := kept("second", 2*most)
		if second.Channel != first.Channel {
			t.Fatalf("the second order uses %s, the first %s", second.Channel, first.Channel)
		}
		added := second.Deposit - first.Deposit
		if less := before - w.chain.Balance(w.payer); added == 0 || less != added+second.Costs.Network ||
			second.Costs.Network == 0 {
			t.Errorf("the wallet has %d less, the channel %d more, the second order's fees are %d", less, added,
				second.Costs.Network)
		}
		again, err := w.cust.Order(first.ID.String())
		if err != nil || again.Costs != first.Costs {
			t.Errorf("the first order cost %+v, and %+v after the second one (%v)", first.Costs, again.Costs, err)
		}
	})
}
