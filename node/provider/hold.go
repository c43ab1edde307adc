package provider

import (
	"fmt"
	"slices"
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

// holdWindow: see hold. maxWasters bounds the table of those who waste.
const (
	holdWindow = 10 * time.Minute
	maxWasters = 1024
)

// holder is the account of a customer's unused holds: strangers share one. Caller holds mu.
func (p *Provider) holder(from market.NodeID, known bool) *rate.Limiter {
	if !known {
		from = market.NodeID{}
	}
	l := p.wasted[from]
	if l == nil {
		if len(p.wasted) >= maxWasters {
			clear(p.wasted)
		}
		n := len(p.devices)
		l = rate.NewLimiter(rate.Every(holdWindow/time.Duration(n)), n)
		p.wasted[from] = l
	}
	return l
}

// expireHolds drops what was not used in time, on its customer's account. Caller holds mu.
func (p *Provider) expireHolds(now time.Time) {
	for k, h := range p.held {
		if now.After(h.until) {
			delete(p.held, k)
			p.holder(h.from, h.known).AllowN(now, len(h.devices))
		}
	}
}

// others are the holds that bind an order: of other orders, and a stranger's only for strangers. Caller holds mu.
func (p *Provider) others(o market.Order, from market.NodeID) (out []*hold) {
	known := p.knows(from, o.Payer)
	for k, h := range p.held {
		if k != (holdKey{from, o.Nonce}) && (h.known || !known) {
			out = append(out, h)
		}
	}
	return out
}

// asked reports whether the same Order document was quoted before. Caller holds mu.
func (p *Provider) asked(order market.DocID) bool {
	for _, q := range p.quotes {
		if q.quote.Order == order {
			return true
		}
	}
	return false
}

// keepFor holds a quote's devices for its order, if its customer has not wasted too many. Caller holds mu.
func (p *Provider) keepFor(o market.Order, q market.Quote, now time.Time) {
	known := p.knows(o.Customer, o.Payer)
	k := holdKey{o.Customer, o.Nonce}
	if p.held[k] == nil && p.holder(o.Customer, known).TokensAt(now) < float64(len(q.Devices)) {
		return
	}
	p.held[k] = &hold{from: o.Customer, known: known, devices: q.Devices, ram: o.RAM, disk: o.Disk,
		until: q.Expires.Add(maxSkew)}
}

// prolong keeps a hold while its lease is decided, at most until the customer gives up. Caller holds mu.
func (p *Provider) prolong(from market.NodeID, order market.OrderID, until time.Time) {
	h := p.held[holdKey{from, order}]
	if last := p.now().Add(time.Minute); until.After(last) {
		until = last
	}
	if h != nil && until.After(h.until) {
		h.until = until
	}
}

// unhold ends the hold of an order that has its answer. Caller holds mu.
func (p *Provider) unhold(from market.NodeID, order market.OrderID) {
	delete(p.held, holdKey{from, order})
}

// freeAt is when n of these devices are free at the latest, by the holds on them and by the ends of their leases; zero:
// not known. Caller holds mu.
func (p *Provider) freeAt(devices []market.DeviceID, n int, holds []*hold, now time.Time) time.Time {
	ends := map[market.DeviceID]time.Time{}
	for _, l := range p.leases {
		if m := l.actor.Lease(); m.State < market.Closing {
			for _, d := range l.quote.Devices {
				ends[d] = lastEnd(m, now)
			}
		}
	}
	for _, h := range holds {
		for _, d := range h.devices {
			ends[d] = later(ends[d], h.until)
		}
	}
	var all []time.Time
	for _, d := range devices {
		switch p.rows[d].State {
		case devQuarantined, devWithdrawn:
		default:
			all = append(all, later(ends[d], now))
		}
	}
	if len(all) < n {
		return time.Time{}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all[n-1]
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lastEnd is when a lease ends at the latest: by its longest time, or where its cap is used up if it runs on without a
// pause.
func lastEnd(m market.Lease, now time.Time) time.Time {
	from := m.Ready
	if from.IsZero() {
		from = m.Accepted.Add(m.Terms.PrepMax)
	}
	end := from.Add(m.Terms.MaxDuration)
	if m.Terms.Rate == 0 {
		return end
	}
	left := min(m.Terms.Rate.Reach(m.Terms.Devices, m.Limit()-min(m.Owed(), m.Limit())), m.Terms.MaxDuration)
	if byCap := later(from, now).Add(left); byCap.Before(end) {
		return byCap
	}
	return end
}

// rented is the refusal of an order that would fit if more were free. Caller holds mu.
func (p *Provider) rented(what string, devices []market.DeviceID, n int, holds []*hold, now time.Time) error {
	r := market.Refuse("busy", market.KindUnavailable, what)
	if at := p.freeAt(devices, n, holds, now); !at.IsZero() {
		r.RetryAfter = max(at.Sub(now), time.Second)
		r.Detail = fmt.Sprintf("%s, free at %s UTC at the latest", what, at.UTC().Format(time.DateTime))
	}
	return r
}
