package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// TestRetry_OldChannelAfterUncleanStart_OpensANewOne: a provider that crashed takes no new lease on a channel of before
// (a Release that it forgot may still live); the customer then opens another one by itself, and both channels end
// settled.
func TestRetry_OldChannelAfterUncleanStart_OpensANewOne(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 15 * time.Second, change: func(p *provider.Config, _ *customer.Config) {
		p.Dues.OldChannels = time.Now().Add(time.Hour)
	}}, func(t *testing.T, w *world) {
		r := request("first")
		r.KeepChannel = true
		id := w.place(t, r)
		first := w.await(t, id, over)
		if first.Code != market.CodeCompleted || first.Finished {
			t.Fatalf("%s %s, channel finished %v", first.Standing, first.Code, first.Finished)
		}
		w.stopProv()
		w.startProvider(t)
		again := w.await(t, w.place(t, request("second")), over)
		if again.Code != market.CodeCompleted || again.Channel == first.Channel || again.Paid != 15*second ||
			again.Paid+again.Returned != again.Deposit {
			t.Fatalf("%s %s %s on channel %s (old %s): paid %d, returned %d of %d", again.Standing, again.Code,
				again.Detail, again.Channel, first.Channel, again.Paid, again.Returned, again.Deposit)
		}
	})
}
