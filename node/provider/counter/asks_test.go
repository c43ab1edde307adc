package counter

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestAsks_Bounded: one customer cannot push the others out, an order counts once, and a day later nothing is left.
func TestAsks_Bounded(t *testing.T) {
	t.Parallel()
	var a asks
	now := time.Unix(1_700_000_000, 0)
	a.note(Ask{At: now, Order: market.OrderID{1}, Customer: market.NodeID{1}})
	a.became(market.OrderID{1}, "", "")
	for i := range 5000 {
		a.note(Ask{At: now, Order: market.OrderID{2, byte(i >> 8), byte(i)}, Customer: market.NodeID{2},
			Code: market.CodeBusy})
	}
	a.note(Ask{At: now, Order: market.OrderID{1}, Customer: market.NodeID{1}})
	if len(a.list) != 1+maxAsksEach || !a.list[len(a.list)-1].Leased {
		t.Errorf("%d are remembered, the last one %+v", len(a.list), a.list[len(a.list)-1])
	}
	for i := range 5000 {
		a.note(Ask{At: now, Order: market.OrderID{3, byte(i >> 8), byte(i)},
			Customer: market.NodeID{3, byte(i >> 8), byte(i)}})
	}
	if len(a.list) != maxAsks {
		t.Errorf("%d are remembered", len(a.list))
	}
	a.forget(now.Add(25 * time.Hour))
	if len(a.list) != 0 {
		t.Errorf("%d are remembered a day later", len(a.list))
	}
}
