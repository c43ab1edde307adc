package book

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

// TestBids_HighestFirst: a Want counts in each of its classes; what is withdrawn, or pays in another coin, nowhere.
func TestBids_HighestFirst(t *testing.T) {
	t.Parallel()
	want := func(rate market.Rate, devices int, classes ...string) market.Want {
		return market.Want{MaxRate: rate, Devices: devices, Classes: classes}
	}
	other := want(900, 1, "t4")
	other.Mint = market.Address{1}
	wants := []market.Want{want(100, 1, "t4"), want(300, 2, "a100", "t4"), want(0, 4, "t4"), want(100, 8, "t4"),
		want(500, 16, "a100"), want(700, 0, "t4"), other}
	exp := []Bid{{0, 1, 4, 4}, {300, 1, 2, 6}, {100, 2, 9, 15}}
	if d := cmp.Diff(exp, Bids(wants, "t4", market.Address{})); d != "" {
		t.Error(d)
	}
	if b := Bids(wants, "h100", market.Address{}); len(b) != 0 {
		t.Errorf("of a class that nobody wants: %v", b)
	}
}
