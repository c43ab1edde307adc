// Package rig owns the devices that are sold: who has which, what is left of memory and disk, whether the engine is
// fit, and the Offer that says so.
//
// Invariants: a device has one lease at most, in memory and on disk; an Offer's number is on disk before it leaves; no
// device is free before it looks as before its lease.
// Concurrency: Rig's methods are safe for any goroutine. mu guards the tables, and nothing waits under it: a step
// stands in the tables while it is committed, and is taken back if that fails.
// Persistence: buckets devices and offers ("seq"). Next: table.go, hold.go, publish.go, handover.go.
package rig

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/job"
)

// Prices are what the owner asks, as the Offer says it.
type Prices struct {
	Rate    market.Rate            // per device-hour
	Rates   map[string]market.Rate // the same by class
	MaxTime time.Duration          // longest lease; 0 = any
}

// Of is the rate of a class: its own, else the default.
func (p Prices) Of(class string) market.Rate {
	if r, ok := p.Rates[class]; ok {
		return r
	}
	return p.Rate
}

// Config is what the Offer says beside the devices. CPUMilli, RAM and Disk are what is lent out in all.
type Config struct {
	Network       string
	Key           ed25519.PrivateKey
	ID            market.NodeID
	Payout        market.Address
	Version       string
	Tick          time.Duration
	MinCloseDelay time.Duration
	CPUMilli      uint32
	RAM, Disk     uint64
	Egress        uint8 // widest class offered
	Selling       bool
}

// Publisher sends an own Offer to everybody.
type Publisher interface {
	Publish(ctx context.Context, raw []byte) error
}

// Reach tells own addresses and how many peers hear us.
type Reach interface {
	Addrs() []string
	Peers() int
}

// Deps are the parts that the rig joins. Prices is asked at each Offer and each Pick, and must not block.
type Deps struct {
	Store    *store.Store
	Runner   job.Runner
	Pub      Publisher
	Reach    Reach
	Now      func() time.Time
	Log      *slog.Logger
	Prices   func() Prices
	Fit      Fitness         // nil: the engine is taken as it is, for tests
	Recheck  <-chan struct{} // asks for Fit before its time; nil: never
	Moved    <-chan struct{} // Reach's addresses have changed; nil: never
	HandOver HandOver        // nil: GPUs are free as soon as their job is gone, for tests
}

// Rig is the owner of the devices. Use New, Load, then Serve.
type Rig struct {
	cfg     Config
	deps    Deps
	checked chan struct{} // closed once the engine was checked
	once    sync.Once
	changed chan struct{} // the Offer is another one

	mu    sync.Mutex
	table table
	shop  shop
	said  issued
}

// New returns a rig of these devices, as measured, that does nothing yet.
func New(cfg Config, devices []gpu.Device, d Deps) *Rig {
	return &Rig{cfg: cfg, deps: d, checked: make(chan struct{}), changed: make(chan struct{}, 1),
		table: newTable(cfg, devices),
		shop:  shop{selling: cfg.Selling, devices: len(devices)}}
}

// Load reads the number of the last Offer and makes a row for each device; one whose lease is over is freed by the
// lease's own replay. Errors: the store's.
func (r *Rig) Load(ctx context.Context) error {
	if b, err := r.deps.Store.Get(store.BucketOffers, seqKey); err != nil {
		return err
	} else if b != nil {
		if err := store.Unrow(b, &r.said.seq); err != nil {
			return fmt.Errorf("offer sequence: %w", err)
		}
	}
	for _, id := range r.table.ids {
		b, err := r.deps.Store.Get(store.BucketDevices, id[:])
		if err != nil {
			return err
		}
		row := Row{State: Free}
		if b != nil {
			err = store.Unrow(b, &row)
		}
		if put := putRow(id, row); err == nil &&
			!bytes.Equal(put.Value, b) { // none, or of another version: see guardRow
			err = r.deps.Store.Commit(ctx, store.Change{Puts: []store.Put{put}})
		}
		if err != nil {
			return fmt.Errorf("device row: %w", err)
		}
		r.mu.Lock()
		r.table.rows[id] = row
		if row.Idle != nil {
			r.table.idle[id] = *row.Idle
		}
		r.mu.Unlock()
	}
	return nil
}

// Serve looks at the devices that nobody has, checks the engine, publishes Offers and gives back devices that became
// clear, until ctx ends.
func (r *Rig) Serve(ctx context.Context) {
	cleaner{r}.learn(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { announcer{r}.serve(ctx) })
	wg.Go(func() { checker{r}.loop(ctx) })
	wg.Go(func() { cleaner{r}.loop(ctx) })
}

// Checked is closed once the engine was checked: until then it is not known what may be sold.
func (r *Rig) Checked() <-chan struct{} { return r.checked }

// SetSelling withdraws or lists the rig; live leases are not touched.
func (r *Rig) SetSelling(on bool) {
	r.mu.Lock()
	r.shop.selling = on
	r.shop.note(time.Now())
	r.mu.Unlock()
	r.Changed()
}

// Changed asks for a new Offer; many changes coalesce.
func (r *Rig) Changed() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Ask is an Order that asks for devices.
type Ask struct {
	Order market.Order
	From  market.NodeID
	Known bool // its customer has paid here: a stranger's hold does not bind it
	// One: its customer may hold for one order at a time, and Busy is what a second one hears.
	One  bool
	Busy error
	// Until is how long the devices are held for the order; zero: not at all.
	Until time.Time
	// Named counts the open quotes of other orders by device; those that the fewest name come first.
	Named map[market.DeviceID]int
}

// Fits reports whether the rig could run the order now. Refusals: unhealthy, draining; does-not-fit, with the field;
// busy if it would fit an empty rig.
func (r *Rig) Fits(a Ask, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.holds.expire(now)
	switch {
	case !r.shop.health.fit:
		return market.Refuse(market.CodeUnhealthy, market.KindUnavailable, string(r.shop.health.code))
	case a.Order.Egress > r.shop.health.egress:
		return market.Refuse(market.CodeDoesNotFit, market.KindConflict, "egress is not offered")
	case !r.shop.selling:
		return market.Refuse(market.CodeDraining, market.KindUnavailable, "this rig does not sell now")
	}
	return r.table.room(a, now)
}

// Picked is what the rig gives to an order: devices of one group, and the group's rate.
type Picked struct {
	Devices []market.DeviceID
	Rate    market.Rate
	Offer   market.DocID // the newest Offer, and its number
	Seq     uint64
}

// Pick matches the order against the rig by the same matcher that customers use, and holds what it picked if Until says
// so. Refusals: does-not-fit, busy.
func (r *Rig) Pick(a Ask, now time.Time) (Picked, error) {
	prices := r.deps.Prices()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.holds.expire(now)
	offer := r.build(uint64(now.UnixMilli()), nil, prices) // the number is the issue time, too
	holds := r.table.others(a)
	hideHeld(offer.Groups, holds)
	b := book.New()
	if _, err := b.Put(offer, market.DocID{}, nil, now); err != nil {
		return Picked{}, fmt.Errorf("own offer: %w", err)
	}
	q := book.Query{Terms: a.Order.Constraints, Devices: a.Order.Devices, Mint: a.Order.Mint, MaxRate: a.Order.MaxRate,
		Limit: 1, Order: a.Order.Nonce}
	res := b.Match(q, now)
	if len(res.Candidates) == 0 {
		q.Rented = true
		if all := b.Match(q, now); len(all.Candidates) > 0 {
			g := offer.Groups[all.Candidates[0].Group]
			what := fmt.Sprintf("%d of %d devices are free, %d asked for", all.Candidates[0].Devices, len(g.Devices),
				a.Order.Devices)
			return Picked{}, r.table.rented(what, g.Devices, a.Order.Devices, holds, now)
		}
		q.Rented, q.Explain = false, true
		return Picked{}, market.Refuse(market.CodeDoesNotFit, market.KindConflict, b.Match(q, now).Explanation.Text())
	}
	g := offer.Groups[res.Candidates[0].Group]
	devices := leastNamed(g, a.Named)[:a.Order.Devices]
	if !a.Until.IsZero() {
		if a.One && r.table.holds.another(a.From, a.Order.Nonce) {
			return Picked{}, a.Busy
		}
		r.table.holds.keep(a, devices, now)
	}
	return Picked{Devices: devices, Rate: g.Rates[0], Offer: r.said.id, Seq: r.said.seq}, nil
}

// Prolong keeps an order's hold while its lease is decided, at most a minute from now.
func (r *Rig) Prolong(from market.NodeID, order market.OrderID, until, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.holds.prolong(holdKey{from, order}, until, now)
}

// Unhold ends the hold of an order that has its answer.
func (r *Rig) Unhold(from market.NodeID, order market.OrderID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.table.holds.held, holdKey{from, order})
}
