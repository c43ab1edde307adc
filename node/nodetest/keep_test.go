package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/node/customer"
)

// TestFlow_KeepChannel_SecondOrderUsesIt: a kept channel carries the next order once its deposit is final, so nothing is opened and nothing
// waited for.
func TestFlow_KeepChannel_SecondOrderUsesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Second, nil)
	place := func(key string) customer.View {
		r := request(key)
		r.KeepChannel = true
		id, err := w.cust.Place(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		return w.await(t, id, over)
	}
	first := place("one")
	if first.Code != "completed" {
		t.Fatalf("%s %s: %+v", first.Code, first.Detail, first.Steps)
	}
	until(t, "the deposit does not become final", func() bool {
		c := w.cust.Channels()
		return len(c) == 1 && c[0].Account.Phase == escrow.PhaseOpen && c[0].Account.Deposit == first.Deposit
	})
	second := place("two")
	if second.Code != "completed" || second.Channel != first.Channel || len(w.cust.Channels()) != 1 {
		t.Errorf("%s %s on %s, kept is %s, channels %d: %+v", second.Code, second.Detail, second.Channel, first.Channel, len(w.cust.Channels()), second.Steps)
	}
}
