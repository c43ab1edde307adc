package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestStart_ProviderRestarts_OrdersWait: a rig that starts again keeps its last Offer while its engine is checked, and
// an order that comes in these seconds waits for it instead of hearing a no that holds only then.
func TestStart_ProviderRestarts_OrdersWait(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		w.stopProv()
		w.setup.fit = func(ctx context.Context) (bool, error) {
			select {
			case <-time.After(6 * time.Second):
				return true, nil
			case <-ctx.Done():
				return false, ctx.Err()
			}
		}
		w.startProvider(t)
		id := w.place(t, request("early"))
		for range 50 {
			if o := w.cust.Book.Offers(); len(o) != 1 || len(o[0].Groups) != 1 {
				t.Fatalf("the rig's offer was withdrawn: %+v", o)
			}
			time.Sleep(100 * time.Millisecond)
		}
		v := w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
	})
}
