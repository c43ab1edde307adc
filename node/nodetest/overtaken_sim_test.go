package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestStop_OvertakesTheLease_FreesBothSides: the Stop of a lease that its user gave up comes before the lease, which is
// late on its way, or lost. No job starts, and the money is back without the close delay.
func TestStop_OvertakesTheLease_FreesBothSides(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]time.Duration{"late": 2 * time.Second, "lost": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
				slow := func() { time.Sleep(late) } // of virtual time: how long the lease is on its way
				w.sw.proposing.Store(&slow)
				id := w.place(t, request("overtaken"))
				w.await(t, id, in(market.Proposed))
				if err := w.cust.StopOrder(t.Context(), id.String(), false); err != nil {
					t.Fatal(err)
				}
				asked := time.Now()
				v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
				if took := time.Since(asked); took > 5*time.Minute || v.Paid != 0 || v.Returned != v.Deposit {
					t.Errorf("%s %s after %s: paid %d, returned %d of %d; %+v", v.Standing, v.Code, took, v.Paid,
						v.Returned, v.Deposit, v.Steps)
				}
				if n := w.engine.Started(); n != 0 || len(w.prov.Leases()) != 0 {
					t.Errorf("%d jobs were started, the provider has %d leases", n, len(w.prov.Leases()))
				}
			})
		})
	}
}
