package counter

import (
	"time"

	"github.com/gpuai/gpuai/market"
)

// quoted is a Quote in memory: what was asked and what was answered.
type quoted struct {
	order market.Order
	quote market.Quote
	used  market.LeaseID // the lease that took it, zero if none
}

// quotes are the Quotes that leases may still use. The counter's lock guards them.
type quotes map[market.DocID]*quoted

// named counts the open quotes of other orders by device.
func (q quotes) named(o market.Order, now time.Time) map[market.DeviceID]int {
	out := map[market.DeviceID]int{}
	for _, x := range q {
		if x.used == (market.LeaseID{}) && now.Before(x.quote.Expires) && x.order.Nonce != o.Nonce {
			for _, d := range x.quote.Devices {
				out[d]++
			}
		}
	}
	return out
}

// expire forgets Quotes that no lease can use any more.
func (q quotes) expire(now time.Time) {
	for id, x := range q {
		if now.After(x.quote.Expires.Add(30 * time.Second)) {
			delete(q, id)
		}
	}
}

// of lists the Quotes of an Order document, and whether a lease has used them.
func (q quotes) of(order market.DocID) (mine []*quoted, used bool) {
	for _, x := range q {
		if x.quote.Order == order {
			mine, used = append(mine, x), used || x.used != (market.LeaseID{})
		}
	}
	return mine, used
}
