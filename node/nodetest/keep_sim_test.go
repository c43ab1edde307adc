package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestFlow_KeepChannel_SecondOrderUsesIt: a kept channel carries the next order once its deposit is final, so nothing
// is opened and nothing waited for.
func TestFlow_KeepChannel_SecondOrderUsesIt(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 20 * time.Second}, func(t *testing.T, w *world) {
		place := func(key string) customer.View {
			r := request(key)
			r.KeepChannel = true
			return w.await(t, w.place(t, r), over)
		}
		first := place("one")
		if first.Code != market.CodeCompleted || first.Lease.Claim != 20*second {
			t.Fatalf("%s %s, claim %d: %+v", first.Code, first.Detail, first.Lease.Claim, first.Steps)
		}
		until(t, "the deposit does not become final", func() bool {
			c := w.cust.Channels()
			return len(c) == 1 && c[0].Account.Phase == escrow.PhaseOpen && c[0].Account.Deposit == first.Deposit
		})
		again := place("two")
		if again.Code != market.CodeCompleted || again.Channel != first.Channel || len(w.cust.Channels()) != 1 {
			t.Errorf("%s %s on %s, kept is %s, channels %d: %+v", again.Code, again.Detail, again.Channel,
				first.Channel, len(w.cust.Channels()), again.Steps)
		}
	})
}
