package counter

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Limits of what is remembered of who asked: how long, how many orders in all and of one customer, and how often it is
// stored.
const (
	asksFor     = 24 * time.Hour
	maxAsks     = 1000
	maxAsksEach = 100
	asksEvery   = time.Minute
	maxAskWords = 160
)

// Ask is one order that asked this rig for its price, with the last answer. Code "" is a Quote; Leased: its lease was
// accepted.
type Ask struct {
	At       time.Time      `json:"At"`
	Order    market.OrderID `json:"Order"`
	Customer market.NodeID  `json:"Customer"`
	Devices  int            `json:"Devices,omitempty"`
	MaxRate  market.Rate    `json:"MaxRate,omitempty"`
	Rate     market.Rate    `json:"Rate,omitempty"` // quoted
	Code     market.Code    `json:"Code,omitempty"`
	Detail   string         `json:"Detail,omitempty"`
	Leased   bool           `json:"Leased,omitempty"`
}

// asks is the memory of a day, oldest first.
type asks struct {
	mu    sync.Mutex
	list  []Ask
	dirty bool
}

// note takes the answer to an order; an order that asks again is one entry.
func (a *asks) note(e Ask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(e.Detail) > maxAskWords {
		e.Detail = e.Detail[:maxAskWords]
	}
	a.dirty = true
	if i := slices.IndexFunc(a.list,
		func(x Ask) bool { return x.Order == e.Order && x.Customer == e.Customer }); i >= 0 {
		e.Leased = a.list[i].Leased
		a.list = append(slices.Delete(a.list, i, i+1), e)
		return
	}
	each := 0
	for _, x := range a.list {
		if x.Customer == e.Customer {
			each++
		}
	}
	if each >= maxAsksEach { // one customer does not push the others out
		i := slices.IndexFunc(a.list, func(x Ask) bool { return x.Customer == e.Customer })
		a.list = slices.Delete(a.list, i, i+1)
	}
	a.list = append(a.list, e)
	a.forget(e.At)
}

// forget drops what is too old or too much. Caller holds mu.
func (a *asks) forget(now time.Time) {
	a.list = slices.DeleteFunc(a.list, func(x Ask) bool { return now.Sub(x.At) > asksFor })
	if over := len(a.list) - maxAsks; over > 0 {
		a.list = slices.Delete(a.list, 0, over)
	}
}

// became notes what came of an order that was quoted: its lease, or a refusal of that.
func (a *asks) became(order market.OrderID, code market.Code, detail string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.list {
		if a.list[i].Order == order {
			a.list[i].Leased, a.list[i].Code, a.list[i].Detail = code == "", code,
				detail[:min(len(detail), maxAskWords)]
			a.dirty = true
		}
	}
}

// Quote answers an Order with a signed Quote, and remembers for a day that it was asked for; see quote for the
// refusals.
func (c *Counter) Quote(ctx context.Context, from market.NodeID, raw []byte) ([]byte, error) {
	answer, err := c.quote(ctx, from, raw)
	o, env, bad := wire.OpenOrder(raw, c.cfg.Network)
	if bad != nil || env.Signer != from {
		return answer, err // nobody's order
	}
	e := Ask{At: c.deps.Now(), Order: o.Nonce, Customer: from, Devices: o.Devices, MaxRate: o.MaxRate,
		Code: market.CodeOf(err)}
	if err != nil {
		e.Detail = detailOf(err)
	} else if q, _, err := wire.OpenQuote(answer, c.cfg.Network); err == nil {
		e.Rate = q.Rate
	}
	c.asks.note(e)
	return answer, err
}

func detailOf(err error) string {
	if r, ok := errors.AsType[*market.Refusal](err); ok {
		return r.Detail
	}
	return err.Error()
}

// Asks lists the orders of the last day, oldest first.
func (c *Counter) Asks() []Ask {
	c.asks.mu.Lock()
	defer c.asks.mu.Unlock()
	c.asks.forget(c.deps.Now())
	return slices.Clone(c.asks.list)
}

// asksKey is where the memory lies in the bucket offers: one row, bounded.
var asksKey = []byte("asks")

// Load reads who asked. Errors: the store's.
func (c *Counter) Load() error {
	b, err := c.deps.Store.Get(store.BucketOffers, asksKey)
	if err != nil || b == nil {
		return err
	}
	c.asks.mu.Lock()
	defer c.asks.mu.Unlock()
	if err := store.Unrow(b, &c.asks.list); err != nil {
		c.asks.list = nil // a memory for people, nothing else hangs on it
	}
	return nil
}

// Serve stores the memory now and then, and at the end of ctx.
func (c *Counter) Serve(ctx context.Context) {
	tick := time.NewTicker(asksEvery)
	defer tick.Stop()
	for again := true; again; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			again = false
		}
		c.asks.mu.Lock()
		dirty, b := c.asks.dirty, store.Row(c.asks.list)
		c.asks.dirty = false
		c.asks.mu.Unlock()
		if !dirty {
			continue
		}
		put := store.Put{Bucket: store.BucketOffers, Key: asksKey, Value: b}
		if err := c.deps.Store.Commit(context.WithoutCancel(ctx), store.Change{Puts: []store.Put{put}}); err != nil {
			c.deps.Log.Debug("Who asked was not stored", "error", err)
		}
	}
}

// Idle is why nobody rents, or who does: what came of the orders of the last day.
type Idle struct {
	Since                                   time.Time // of the oldest order that is remembered
	Asked, Customers, Quoted, Leased, Waits int       // Waits: quoted, and its answer may still come
	Lost                                    int       // quoted, and never leased here
	Refused                                 []Reason  // most frequent first
}

// Reason counts orders that were refused alike.
type Reason struct {
	Code   market.Code
	Detail string
	Orders int
}

// lostAfter is when a Quote without a lease counts as lost.
const lostAfter = time.Minute

// Idle sums up who asked.
func (c *Counter) Idle() (out Idle) {
	now, who, why := c.deps.Now(), map[market.NodeID]bool{}, map[Reason]int{}
	for _, a := range c.Asks() {
		if out.Since.IsZero() || a.At.Before(out.Since) {
			out.Since = a.At
		}
		out.Asked++
		who[a.Customer] = true
		switch {
		case a.Leased:
			out.Quoted, out.Leased = out.Quoted+1, out.Leased+1
		case a.Code != "":
			why[Reason{Code: a.Code, Detail: a.Detail}]++
		case now.Sub(a.At) < lostAfter:
			out.Quoted, out.Waits = out.Quoted+1, out.Waits+1
		default:
			out.Quoted, out.Lost = out.Quoted+1, out.Lost+1
		}
	}
	out.Customers = len(who)
	for r, n := range why {
		r.Orders = n
		out.Refused = append(out.Refused, r)
	}
	slices.SortFunc(out.Refused, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Orders, a.Orders), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Detail, b.Detail))
	})
	return out
}
