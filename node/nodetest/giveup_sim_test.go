package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestStop_WhileTheProviderDecides_FreesBothSides: the deposit is not final yet, so that the provider still looks at it
// when the user stops. No job starts, and the money is back without the close delay.
func TestStop_WhileTheProviderDecides_FreesBothSides(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payer)
		w.sw.noChannels.Store(true)
		id := w.place(t, request("given up"))
		w.opened(t)
		w.sw.noChannels.Store(false)
		w.await(t, id, in(market.Proposed))
		if err := w.cust.StopOrder(t.Context(), id.String(), false); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
		if took := time.Since(asked); took > 5*time.Minute || v.Paid != 0 || v.Returned != v.Deposit {
			t.Errorf("%s %s after %s: paid %d, returned %d of %d; %+v", v.Standing, v.Code, took, v.Paid, v.Returned,
				v.Deposit, v.Steps)
		}
		if n := w.engine.Started(); n != 0 {
			t.Errorf("%d jobs were started", n)
		}
		if cost := before - w.chain.Balance(w.payer); cost > v.Deposit/10+10_000_000 {
			t.Errorf("the wallet lacks %d", cost)
		}
	})
}
