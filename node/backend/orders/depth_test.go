package orders

import (
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/p2p/offers"
)

// TestDepth_BestBid: whoever pays any rate is a bid that names none, so the best is the highest that is named.
func TestDepth_BestBid(t *testing.T) {
	t.Parallel()
	want := func(rate market.Rate, devices int) offers.HeldWant {
		return offers.HeldWant{Want: market.Want{Classes: []string{"t4"}, MaxRate: rate, Devices: devices}}
	}
	d := &Desk{Wanted: func() []offers.HeldWant { return []offers.HeldWant{want(100, 1), want(0, 2), want(300, 4)} }}
	for _, c := range []struct{ ask, spread market.Rate }{{500, 200}, {300, 0}, {200, 0}, {0, 0}} {
		doc := api.Depth{Class: "t4"}
		if c.ask > 0 {
			doc.Ask = api.RateSOL(c.ask)
		}
		d.bids(&doc)
		if doc.Wanted != 7 || len(doc.Bids) != 3 || doc.Bids[0].Rate.Amount != "" || doc.Bid.Lamports() != 300 ||
			doc.Spread.Lamports() != market.Amount(c.spread) {
			t.Errorf("ask %d: %+v", c.ask, doc)
		}
	}
}
