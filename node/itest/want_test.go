//go:build integration

package itest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// TestWant_OrderWaitsForARig: an order that nobody can serve is told to the market by a real node, and has touched no
// money; once a rig lists itself, its job runs there and is paid, and nobody wants it any more.
func TestWant_OrderWaitsForARig(t *testing.T) {
	r := newRig(t)
	rig := r.provider(t, 1)
	c := r.buyer(t)
	rig.Provider().SetSelling(false)
	wait(t, "the rig still sells", time.Minute, func() bool {
		l, err := c.api.Offers(context.Background(), market.Sort{})
		return err == nil && len(l) == 0
	})
	want := r.order("waits", "sleep=1s")
	want.Job.Limits.Wait = 10 * time.Minute
	id := c.place(t, []api.OrderRequest{want})[0]
	wait(t, "the market does not hear of it", time.Minute, func() bool {
		l, err := c.api.Wants(context.Background())
		return err == nil && len(l) == 1 && l[0].Mine && l[0].Classes[0] == "rtx-4090"
	})
	o, err := c.api.Order(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if o.Standing != "searching" || o.Waits == "" || o.WaitsUntil == nil || o.Channel != "" {
		t.Errorf("it stands at %s, waits for %q until %v, channel %q", o.Standing, o.Waits, o.WaitsUntil, o.Channel)
	}
	rig.Provider().SetSelling(true)
	c.completed(t, id)
	wait(t, "it is wanted still", time.Minute, func() bool {
		l, err := c.api.Wants(context.Background())
		return err == nil && len(l) == 0
	})
	c.idle(t)
}
