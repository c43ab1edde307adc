package nodetest

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/customer/purse"
	"github.com/gpuai/gpuai/node/store"
)

// TestChannel_Gone_LeavesMemory: a channel that is gone is in no list that the node goes through, and everything that
// could be asked of it still can, also after a restart; an order that used it shows the same, and a close by hand ends.
func TestChannel_Gone_LeavesMemory(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 10 * time.Second}, func(t *testing.T, w *world) {
		var paid []market.Amount
		for _, key := range []string{"first", "second"} {
			v := w.await(t, w.place(t, request(key)), func(v customer.View) bool { return over(v) && v.Finished })
			paid = append(paid, v.Cost())
		}
		w.left(t)
		until(t, "a channel that is gone stays in memory", func() bool { return len(w.cust.Held()) == 0 })
		list := func() []purse.View {
			return slices.SortedFunc(slices.Values(w.cust.Channels()),
				func(a, b purse.View) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
		}
		was, orders := list(), w.orders()
		check := func() {
			t.Helper()
			var sum market.Amount
			for _, v := range list() {
				one, ok := w.cust.Channel(v.ID)
				if !ok || one.Paid != v.Paid || v.Account.Phase != escrow.PhaseGone ||
					v.Paid+v.Returned != v.Account.Seen {
					t.Errorf("channel %+v, alone %+v", v, one)
				}
				if !w.cust.Reclaimed(context.Background(), v.ID) {
					t.Errorf("%s is not home", v.ID)
				}
				if err := w.cust.CloseChannel(context.Background(), v.ID); err != nil {
					t.Error(err)
				}
				sum += v.Paid
			}
			if len(list()) != len(was) || sum != paid[0]+paid[1] {
				t.Errorf("%d channels paid %s, want %d, %v", len(list()), sum.SOL(), len(was), paid)
			}
			for i, o := range w.orders() {
				if o.Deposit == 0 || o.Deposit != orders[i].Deposit || o.PayeeWaits != 0 {
					t.Errorf("order %s: deposit %s, was %s", o.ID, o.Deposit.SOL(), orders[i].Deposit.SOL())
				}
			}
			if n := len(w.cust.Held()); n != 0 {
				t.Errorf("%d channels are in memory", n)
			}
			rows, err := w.cstore.Page(store.BucketOwnChannels, nil, 10, false)
			if err != nil || len(rows) != 0 {
				t.Errorf("%d rows of channels that are not gone, %v", len(rows), err)
			}
		}
		check()
		w.stopCust()
		w.startCustomer(t)
		check()
	})
}
