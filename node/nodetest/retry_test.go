package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// TestRetry_OldChannelAfterUncleanStart_OpensANewOne: a provider that crashed takes no new lease on a channel of before (a Release that it
// forgot may still live); the customer then opens another one by itself, and both channels end settled.
func TestRetry_OldChannelAfterUncleanStart_OpensANewOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1500*time.Millisecond, func(p *provider.Config, _ *customer.Config) {
		p.OldChannels = time.Now().Add(time.Hour)
	})
	r := request("first")
	r.KeepChannel = true
	id, err := w.cust.Place(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	first := w.await(t, id, over)
	if first.Code != "completed" || first.Finished {
		t.Fatalf("%s %s, channel finished %v", first.Standing, first.Code, first.Finished)
	}
	w.stopProv()
	w.startProvider(t)
	if id, err = w.cust.Place(context.Background(), request("second")); err != nil {
		t.Fatal(err)
	}
	second := w.await(t, id, over)
	if second.Code != "completed" || second.Channel == first.Channel || second.Paid+second.Returned != second.Deposit {
		t.Fatalf("%s %s %s on channel %s (old %s): paid %d, returned %d of %d", second.Standing, second.Code, second.Detail, second.Channel, first.Channel, second.Paid, second.Returned, second.Deposit)
	}
}
