package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
)

// TestSim_LeaseIsOver_LeavesMemory: what is left of a lease is a small row: it is listed, its documents are found, its
// customer is known, what it earned is counted, and so it is after a restart.
func TestSim_LeaseIsOver_LeavesMemory(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		v := w.await(t, w.place(t, long()), func(v customer.View) bool { return v.Finished })
		id := v.Lease.ID
		has := func(bucket string) bool {
			b, err := w.pstore.Get(bucket, id[:])
			if err != nil {
				t.Fatal(err)
			}
			return b != nil
		}
		until(t, "the lease stays in memory", func() bool { return has(store.BucketPast) && !has(store.BucketTicks) })
		look := func(when string) {
			t.Helper()
			list := w.prov.Leases()
			if len(list) != 1 || list[0].Lease.State != market.Ended || list[0].Lease.Code != market.CodeCompleted {
				t.Errorf("%s: listed %+v", when, list)
			}
			l, found, err := w.prov.Lease(id)
			if !found || err != nil || l.Outcome == nil || l.PeerOutcome == nil || l.Receipt == nil {
				t.Errorf("%s: %v, %v, documents %v %v %v", when, found, err, l.Outcome != nil, l.PeerOutcome != nil,
					l.Receipt != nil)
			}
			s, err := w.prov.Status(t.Context(), w.ch.ID(), id)
			if err != nil || s.State != market.Ended || s.HighestVoucher != l.Lease.Paid {
				t.Errorf("%s: status %+v, %v", when, s, err)
			}
			if e := w.prov.Earned(); e.Total() != v.Lease.Claim {
				t.Errorf("%s: earned %+v, owed %s", when, e, v.Lease.Claim.SOL())
			}
		}
		look("before the restart")
		w.stopProv()
		w.startProvider(t)
		until(t, "it does not start", func() bool { return w.prov.View().Selling })
		look("after it")
		r := long()
		r.Key = "again"
		second := w.await(t, w.place(t, r), running)
		if second.Lease.Terms.Prepay {
			t.Error("who has paid before is a stranger")
		}
	})
}
