// Package counter is where customers ask: it quotes, decides by debts and by the owner's rules who may have a lease,
// and remembers who asked.
//
// Invariants: a Quote is used by one lease; a customer's leases that are decided at the same time see each other.
// Concurrency: Counter's methods are safe for any goroutine. mu guards the quotes, guests have their own lock; nothing
// waits under either.
// Persistence: buckets known and offers ("asks"); Quotes live in memory. Next: quote.go, policy.go, guests.go, asks.go.
package counter

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/node/store"
)

// Config is what a Quote says beside devices and price; Policy is how it begins.
type Config struct {
	Network       string
	ClusterTag    uint64
	Key           ed25519.PrivateKey
	Payout        market.Address
	FeePayer      market.Address
	Tick, Hold    time.Duration
	MinCloseDelay time.Duration
	Policy        Policy
}

// Books are what the counter asks of the money.
type Books interface {
	// ClaimFee is what a customer's open sends to the fee payer.
	ClaimFee() market.Amount
	// ReleaseKey is the public half of the key derived for this customer and mint.
	ReleaseKey(customer market.NodeID, mint market.Address) [32]byte
	// DebtOf sums what this node key or payer owes.
	DebtOf(node market.NodeID, payer market.Address, now time.Time) market.Amount
}

// Deps are the parts that the counter joins. Started waits for the start that is under way; Heard notes that a customer
// was there.
type Deps struct {
	Store   *store.Store
	Rig     *rig.Rig
	Books   Books
	Now     func() time.Time
	Log     *slog.Logger
	Started func(context.Context) error
	Heard   func(market.NodeID)
}

// Counter is the owner of Quotes and of admission. Use New, Load, then Serve.
type Counter struct {
	cfg    Config
	deps   Deps
	policy atomic.Pointer[Policy]
	guests *guests
	asks   asks

	mu     sync.Mutex
	quotes quotes
}

// New returns a counter that does nothing yet.
func New(cfg Config, d Deps) *Counter {
	c := &Counter{cfg: cfg, deps: d, guests: newGuests(d.Store), quotes: quotes{}}
	c.policy.Store(&cfg.Policy)
	return c
}

// Policy is the owner's, as of now.
func (c *Counter) Policy() Policy { return *c.policy.Load() }

// Prices are what the owner asks now.
func (c *Counter) Prices() rig.Prices { return c.policy.Load().prices() }

// SetPolicy takes effect at once: a change of what Offers say leaves as a new Offer.
func (c *Counter) SetPolicy(n Policy) {
	old := c.policy.Swap(&n)
	if old.Rate != n.Rate || old.MaxTime != n.MaxTime || !maps.Equal(old.Rates, n.Rates) {
		c.deps.Rig.Changed()
	}
}

// Visit is one lease as admission sees it. Now is the lease as it stands.
type Visit struct {
	Lease   market.LeaseID
	Node    market.NodeID
	Payer   market.Address
	Devices int
	Now     func() market.Lease
}

// Enter lets the lease of an order in: it is admitted again, since leases of one customer may be decided at the same
// time, and all Quotes of its order are used by it. done says whether the lease was committed; until then it counts.
// Refusals: those of Admits, quote-unknown.
func (c *Counter) Enter(v Visit, o market.Order, order market.DocID) (done func(committed bool), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Admits(o, v.Node, c.deps.Now()); err != nil {
		return nil, err
	}
	mine, used := c.quotes.of(order)
	if used {
		return nil, errTaken
	}
	use := func(id market.LeaseID) {
		for _, q := range mine {
			q.used = id
		}
	}
	use(v.Lease)
	c.guests.add(&v)
	return func(committed bool) {
		if committed {
			c.asks.became(o.Nonce, "", "")
			return
		}
		c.guests.drop(v.Lease)
		c.mu.Lock()
		defer c.mu.Unlock()
		use(market.LeaseID{})
	}, nil
}

// Refused notes that the lease of an order was refused.
func (c *Counter) Refused(order market.OrderID, code market.Code, detail string) {
	if order != (market.OrderID{}) {
		c.asks.became(order, code, detail)
	}
}

// Adopt enters a lease of an earlier start.
func (c *Counter) Adopt(v Visit) {
	c.guests.add(&v)
	c.Learn(v.Node, v.Payer, v.Now())
}

// Recall enters a lease that has left memory before this start; false: it ended too long ago to count.
func (c *Counter) Recall(v Visit) bool {
	ended := v.Now().Ended
	if c.deps.Now().Sub(ended).Abs() >= startsWindow {
		return false
	}
	c.guests.add(&v)
	c.guests.over(v.Lease, ended)
	return true
}

// Leave puts into c what stays of a visit whose lease leaves memory: that its customer has paid. done says whether c
// was committed; from then on the visit counts for startsWindow at what its lease came to.
func (c *Counter) Leave(ch *store.Change, v Visit) (done func(committed bool)) {
	if wasPaid(v.Now()) {
		at := binary.BigEndian.AppendUint64(nil, uint64(c.deps.Now().UnixMilli()))
		for _, k := range v.keys() {
			ch.Puts = append(ch.Puts, store.Put{Bucket: store.BucketKnown, Key: bytes.Clone(k[:]), Value: at})
		}
	}
	return func(committed bool) {
		if committed {
			c.guests.over(v.Lease, c.deps.Now())
		}
	}
}

// Learn remembers the keys of a lease that was paid.
func (c *Counter) Learn(node market.NodeID, payer market.Address, m market.Lease) {
	if wasPaid(m) {
		c.guests.learn(node, payer)
	}
}
