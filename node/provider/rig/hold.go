package rig

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
)

// A hold keeps devices for one order between its Quote and its Lease, while its customer funds: in memory only, for the
// Quote's life, longer while the Lease is decided. It begins when the same Order document comes again: the first time
// it compares prices at many rigs, the second time its customer means it. A Quote alone reserves nothing: anybody could
// freeze a rig for free. So holds that were not used are counted, by customer, all strangers together; whoever has
// wasted as many as the rig has devices within holdWindow holds nothing, and a known customer is kept from nothing by a
// stranger's.
type hold struct {
	from    market.NodeID
	known   bool
	devices []market.DeviceID
	ram     uint64
	disk    uint64
	until   time.Time
}

type holdKey struct {
	from  market.NodeID
	order market.OrderID
}

// holdWindow: see hold. maxWasters bounds the table of those who waste. A hold is prolonged at most to holdMore from
// now.
const (
	holdWindow = 10 * time.Minute
	maxWasters = 1024
	holdMore   = time.Minute
)

// holds are the holds of a rig of n devices, and the accounts of those who waste them.
type holds struct {
	n      int
	held   map[holdKey]*hold
	wasted map[market.NodeID]*rate.Limiter
}

func newHolds(n int) holds {
	return holds{n: n, held: map[holdKey]*hold{}, wasted: map[market.NodeID]*rate.Limiter{}}
}

// account is that of a customer's unused holds: strangers share one.
func (h *holds) account(from market.NodeID, known bool) *rate.Limiter {
	if !known {
		from = market.NodeID{}
	}
	l := h.wasted[from]
	if l == nil {
		if len(h.wasted) >= maxWasters {
			clear(h.wasted)
		}
		l = rate.NewLimiter(rate.Every(holdWindow/time.Duration(h.n)), h.n)
		h.wasted[from] = l
	}
	return l
}

// expire drops what was not used in time, on its customer's account.
func (h *holds) expire(now time.Time) {
	for k, x := range h.held {
		if now.After(x.until) {
			delete(h.held, k)
			h.account(x.from, x.known).AllowN(now, len(x.devices))
		}
	}
}

// another reports whether a customer holds devices for another order.
func (h *holds) another(from market.NodeID, order market.OrderID) bool {
	for k := range h.held {
		if k.from == from && k.order != order {
			return true
		}
	}
	return false
}

// keep holds devices for an order, if its customer has not wasted too many.
func (h *holds) keep(a Ask, devices []market.DeviceID, now time.Time) {
	k := holdKey{a.From, a.Order.Nonce}
	if h.held[k] == nil && h.account(a.From, a.Known).TokensAt(now) < float64(len(devices)) {
		return
	}
	h.held[k] = &hold{from: a.From, known: a.Known, devices: devices, ram: a.Order.RAM, disk: a.Order.Disk,
		until: a.Until}
}

func (h *holds) prolong(k holdKey, until, now time.Time) {
	if last := now.Add(holdMore); until.After(last) {
		until = last
	}
	if x := h.held[k]; x != nil && until.After(x.until) {
		x.until = until
	}
}

// others are the holds that bind an order: of other orders, and a stranger's only for strangers.
func (t *table) others(a Ask) (out []*hold) {
	for k, h := range t.holds.held {
		if k != (holdKey{a.From, a.Order.Nonce}) && (h.known || !a.Known) {
			out = append(out, h)
		}
	}
	return out
}
