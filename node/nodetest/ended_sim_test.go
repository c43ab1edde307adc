package nodetest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/job"
)

// orders are all orders of the customer, in memory or not, oldest first.
func (w *world) orders() (out []customer.View) {
	past, _, err := w.cust.Past("", "", nil, 1000, false)
	if err != nil {
		panic(err)
	}
	return slices.DeleteFunc(append(past, w.cust.Orders()...), func(v customer.View) bool {
		if slices.ContainsFunc(out, func(o customer.View) bool { return o.ID == v.ID }) {
			return true
		}
		out = append(out, v)
		return false
	})
}

// left waits until no order is in memory.
func (w *world) left(t *testing.T) {
	t.Helper()
	for range 40 { // the storage deposit comes back only once the channel's name can not be used again
		if time.Sleep(time.Minute); len(w.cust.Orders()) == 0 {
			return
		}
	}
	v := w.cust.Orders()[0]
	t.Fatalf("an order that is over stays in memory: %+v, channels %+v", v, w.cust.Channels())
}

// TestEnded_LeavesMemory: an order whose money is home is no run any more, and everything that could be asked of it
// still can: by its id, a part of it, its lease, its name, "-"; its documents, log, costs and what it counts for.
func TestEnded_LeavesMemory(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 10 * time.Second}, func(t *testing.T, w *world) {
		r := request("ended")
		r.File.Name, r.File.Labels = "night", map[string]string{"team": "vision", "run": "7"}
		first := w.await(t, w.place(t, r), func(v customer.View) bool { return over(v) && v.Finished })
		other := request("other")
		other.File.Name = "day"
		second := w.await(t, w.place(t, other), func(v customer.View) bool { return over(v) && v.Finished })
		w.left(t)
		spent, err := w.cust.Spent()
		if err != nil {
			t.Fatal(err)
		}
		check := func() {
			t.Helper()
			for ref, want := range map[string]market.OrderID{
				first.ID.String(): first.ID, first.ID.String()[:12]: first.ID, first.Lease.ID.String(): first.ID,
				first.Lease.ID.String()[:14]: first.ID, "night": first.ID, "day": second.ID, "-": second.ID,
			} {
				v, err := w.cust.Order(ref)
				if err != nil || v.ID != want {
					t.Errorf("%q: %s, %v", ref, v.ID, err)
				}
			}
			for _, ref := range []string{"", "order_", "nigh", "=night", "#team=vision", "\x00"} {
				if v, err := w.cust.Order(ref); market.CodeOf(err) != market.CodeNotFound {
					t.Errorf("%q names %s, %v", ref, v.ID, err)
				}
			}
			v, err := w.cust.Order("night")
			if err != nil {
				t.Fatal(err)
			}
			first.Costs, v.Costs = customer.Costs{}, customer.Costs{} // its storage deposit came back meanwhile
			if diff := cmp.Diff(first, v, cmpopts.IgnoreUnexported(customer.View{}),
				cmpopts.IgnoreFields(customer.View{}, "Request", "Steps", "Signed", "Log")); diff != "" {
				t.Error(diff)
			}
			for label, n := range map[string]int{"team=vision": 1, "run=7": 1, "team=visio": 0, "run=8": 0, "": 2} {
				for _, backwards := range []bool{false, true} {
					list, _, err := w.cust.Past("", label, nil, 10, backwards)
					if err != nil || len(list) != n {
						t.Errorf("label %q: %d, %v", label, len(list), err)
					}
				}
			}
			again, err := w.cust.Place(context.Background(), r)
			if err != nil || again != first.ID || len(w.cust.Orders()) != 0 {
				t.Errorf("the same key is another order: %s, %v", again, err)
			}
			if _, err := w.cust.Logs(context.Background(), "night", customer.LogQuery{},
				func(job.LogRecord) error { return nil }); err != nil &&
				!strings.Contains(err.Error(), "no log") {
				t.Error(err)
			}
			if got, err := w.cust.Spent(); err != nil || got != spent || spent.Paid != first.Cost()+second.Cost() {
				t.Errorf("spent %+v, want %+v, %v", got, spent, err)
			}
		}
		check()
		w.stopCust()
		w.startCustomer(t)
		check()
		if list := w.cust.Orders(); len(list) != 0 {
			t.Errorf("%d orders are in memory after the start", len(list))
		}
		noRows(t, w.cstore, store.BucketOrders, store.BucketOwnTicks)
	})
}

// noRows reports buckets that are not empty.
func noRows(t *testing.T, db *store.Store, buckets ...string) {
	t.Helper()
	for _, bucket := range buckets {
		if rows, err := db.Page(bucket, nil, 10, false); err != nil || len(rows) != 0 {
			t.Errorf("%s has %d rows, %v", bucket, len(rows), err)
		}
	}
}
