package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/counter"
	"github.com/gpuai/gpuai/node/provider/past"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// desk has the leases that are not done with: each is served by its run, and leaves memory once nothing can change of
// it. What is left then lies in the store (node/provider/past).
type desk struct {
	*common
	rig      *rig.Rig
	counter  *counter.Counter
	books    *releases
	sessions *sessions
	net      Reach
	runner   job.Runner
	access   job.Access
	claim    func()        // asks for a settlement soon
	metered  atomic.Uint64 // billable ms of the leases that have left memory since the start

	mu         sync.Mutex
	runs       map[market.LeaseID]*leaseRun
	byChannel  map[market.ChannelID]map[market.LeaseID]*leaseRun
	byCustomer map[market.NodeID]map[market.LeaseID]*leaseRun
	serving    context.Context // serve's; nil before and after
	waiting    []*leaseRun     // entered while nothing is served
	wg         sync.WaitGroup
}

func newDesk(c *common, p Deps, r *rig.Rig, k *counter.Counter, b *releases, s *sessions) *desk {
	return &desk{common: c, rig: r, counter: k, books: b, sessions: s, net: p.Reach, runner: p.Runner, access: p.Access,
		runs:       map[market.LeaseID]*leaseRun{},
		byChannel:  map[market.ChannelID]map[market.LeaseID]*leaseRun{},
		byCustomer: map[market.NodeID]map[market.LeaseID]*leaseRun{},
	}
}

// enter takes a lease in and serves it.
func (d *desk) enter(l *leaseRun) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs[l.id] = l
	put(d.byChannel, l.channel, l)
	put(d.byCustomer, l.customer, l)
	if d.serving == nil {
		d.waiting = append(d.waiting, l)
		return
	}
	serving := d.serving
	d.wg.Go(func() { l.serve(serving) })
}

// put enters a run in an index, drop takes it out.
func put[K comparable](index map[K]map[market.LeaseID]*leaseRun, k K, l *leaseRun) {
	if index[k] == nil {
		index[k] = map[market.LeaseID]*leaseRun{}
	}
	index[k][l.id] = l
}

func drop[K comparable](index map[K]map[market.LeaseID]*leaseRun, k K, l *leaseRun) {
	if delete(index[k], l.id); len(index[k]) == 0 {
		delete(index, k)
	}
}

// serve runs the leases until ctx ends; jobs run on when it returns.
func (d *desk) serve(ctx context.Context) {
	d.mu.Lock()
	d.serving = ctx
	for _, l := range d.waiting {
		d.wg.Go(func() { l.serve(ctx) })
	}
	d.waiting = nil
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	d.serving = nil // no goroutine joins a group that is waited for
	d.mu.Unlock()
	d.wg.Wait()
}

// find returns a lease that is not done with, else nil.
func (d *desk) find(id market.LeaseID) *leaseRun {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.runs[id]
}

// all lists the leases that are not done with.
func (d *desk) all() []*leaseRun {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.runs))
}

// live lists those that hold devices and may earn.
func (d *desk) live() []*leaseRun {
	return slices.DeleteFunc(d.all(), func(l *leaseRun) bool { return !l.actor.Lease().State.Live() })
}

// ofCustomer lists a customer's leases, ofChannel those of a channel that are not over.
func (d *desk) ofCustomer(id market.NodeID) []*leaseRun {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.byCustomer[id]))
}

func (d *desk) ofChannel(id market.ChannelID) []*leaseRun {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := slices.Collect(maps.Values(d.byChannel[id]))
	return slices.DeleteFunc(list, func(l *leaseRun) bool { return l.actor.Lease().Terminal() })
}

// liveChannels counts channels with live leases beside one.
func (d *desk) liveChannels(beside market.ChannelID) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, runs := range d.byChannel {
		for _, l := range runs {
			if id != beside && l.actor.Lease().State.Live() {
				n++
				break
			}
		}
	}
	return n
}

// knows reports whether a lease was ever accepted here. Errors: the store's.
func (d *desk) knows(id market.LeaseID) (bool, error) {
	if d.find(id) != nil {
		return true, nil
	}
	_, found, err := past.Get(d.db, id)
	return found, err
}

// own returns a lease of this customer, also one that has left memory. Refusal: unknown-lease, also for somebody
// else's.
func (d *desk) own(from market.NodeID, id market.LeaseID) (*leaseRun, error) {
	l := d.find(id)
	if l == nil {
		var err error
		if l, err = d.recall(id); err != nil {
			return nil, err
		}
	}
	if l == nil || l.customer != from {
		return nil, market.Refuse(market.CodeUnknownLease, market.KindNotFound, id.String())
	}
	return l, nil
}

// stop tells a lease that its customer wants its end. Refusal: unknown-lease; the machine's.
func (d *desk) stop(ctx context.Context, from market.NodeID, id market.LeaseID, stop market.StopAsked) error {
	l, err := d.own(from, id)
	if err != nil {
		return err
	}
	err = l.tell(ctx, stop)
	l.poke()
	return err
}

// recall reads a lease that has left memory, nil: there is none. It is not served: it only answers. Errors: the
// store's.
func (d *desk) recall(id market.LeaseID) (*leaseRun, error) {
	old, found, err := past.Get(d.db, id)
	if err != nil || !found {
		return nil, err
	}
	return d.reopen(old.Tick)
}

// reopen makes a run of a stored tick and the documents that belong to it, as they were received. Errors: the store's;
// documents that are none.
func (d *desk) reopen(t rows.Tick) (*leaseRun, error) {
	fail := func(err error) (*leaseRun, error) { return nil, fmt.Errorf("lease %s: %w", t.Lease.ID, err) }
	b, err := d.db.Get(bucketLeases, t.Lease.ID[:])
	if err != nil {
		return nil, err
	}
	var r leaseRow
	if err := store.Unrow(b, &r); err != nil {
		return fail(err)
	}
	body, _, err := wire.OpenProposal(r.Raw, d.cfg.Network)
	if err != nil {
		return fail(err)
	}
	order, _, err := wire.OpenOrder(body.Order, d.cfg.Network)
	if err != nil {
		return fail(err)
	}
	quote, _, err := wire.OpenQuote(body.Quote, d.cfg.Network)
	if err != nil {
		return fail(err)
	}
	sp, err := spec.ParseSpec(body.Spec)
	if err != nil {
		return fail(err)
	}
	return d.runOf(r, t, &proposal{id: t.Lease.ID, from: r.From, body: body, order: order, quote: quote, spec: sp,
		raw: r.Raw})
}

// load reads the leases of an earlier start; their actors adopt their jobs. Those that were over then leave memory at
// once: a node of before kept them. Errors: the store's.
func (d *desk) load(ctx context.Context) error {
	var over []*leaseRun
	err := d.db.Scan(store.BucketTicks, nil, func(k, v []byte) error {
		t, err := rows.DecodeTick(market.LeaseID(k), market.ProviderSide, v)
		if err != nil {
			return fmt.Errorf("tick of lease %x: %w", k, err)
		}
		l, err := d.reopen(t)
		if err != nil {
			return err
		}
		d.rig.Adopt(l.claimed())
		d.counter.Adopt(l.visit())
		d.books.sums.enter(l.sale())
		d.books.owe(l, t.Lease.Owed())
		if l.over() && !d.holds(l) {
			over = append(over, l)
			return nil
		}
		d.enter(l) // an old debt may be paid at any time
		return nil
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(over, closeAtOnce) {
		if err := d.close(ctx, chunk...); err != nil {
			return err
		}
	}
	return d.loadPast(ctx)
}

// loadPast tells the owners what they still count of leases that have left memory. Errors: the store's.
func (d *desk) loadPast(ctx context.Context) error {
	if err := past.Prune(ctx, d.db, d.now()); err != nil {
		return err
	}
	for next, more := []byte(nil), true; more; more = next != nil {
		var list []past.Lease
		var err error
		if list, next, err = past.Page(d.db, next, pastPage); err != nil {
			return err
		}
		for _, x := range list {
			m := x.Tick.Lease
			if !d.counter.Recall(counter.Visit{Lease: m.ID, Node: x.Customer, Payer: x.Order.Payer,
				Devices: len(x.Devices), Now: func() market.Lease { return m }}) {
				next = nil // all others are older
				break
			}
		}
	}
	for _, ch := range d.books.all() {
		a, _ := ch.See()
		for id, share := range a.Leases {
			if err := d.loadShare(ctx, ch, id, share.Live); err != nil {
				return err
			}
		}
	}
	for _, id := range d.rig.Holders() {
		if d.find(id) != nil {
			continue
		}
		known, err := d.knows(id)
		if err == nil { // of a lease that never was, something may be left on the device
			err = d.rig.Free(ctx, id, !known)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// loadShare tells the sums of a lease that has left memory and whose share is still in the books. It is not live: one
// that is, is ended, and that of a lease which never came to be is taken back. Errors: the store's.
func (d *desk) loadShare(ctx context.Context, ch *channel, id market.LeaseID, live bool) error {
	if d.books.sums.knows(id) {
		return nil
	}
	x, found, err := past.Get(d.db, id)
	if err != nil {
		return err
	}
	if found {
		d.books.sums.enter(sale{lease: id, order: x.Order.Nonce, customer: x.Customer, devices: x.Devices,
			now: frozen(x.Tick.Lease), left: true})
	}
	switch {
	case !live:
		return nil
	case !found:
		return d.books.withdraw(ctx, ch, id)
	}
	return d.books.keep(ctx, ch, func(e *entry) error {
		e.Account = e.Account.EndLease(id, x.Tick.Lease.Owed())
		return nil
	})
}

// pastPage is how many past leases are read at once, closeAtOnce how many leave memory in one commit.
const (
	pastPage    = 200
	closeAtOnce = 200
)

// close takes leases out of memory of which nothing can change any more: what is left of them is one Change. Errors:
// the store's; then they stay until the next start.
func (d *desk) close(ctx context.Context, list ...*leaseRun) error {
	var c store.Change
	var done []func(bool)
	for _, l := range list {
		l.mu.Lock()
		t := l.tick
		l.mu.Unlock()
		past.Put(&c, past.Lease{Tick: t, Customer: l.customer, Order: past.OrderOf(l.order), Devices: l.quote.Devices})
		done = append(done, d.counter.Leave(&c, l.visit()))
	}
	err := d.db.Commit(context.WithoutCancel(ctx), c)
	for _, f := range done {
		f(err == nil)
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	for _, l := range list {
		delete(d.runs, l.id)
		drop(d.byChannel, l.channel, l)
		drop(d.byCustomer, l.customer, l)
	}
	d.mu.Unlock()
	for _, l := range list {
		d.books.left(l)
		d.metered.Add(l.actor.Lease().Meter.BillableMS)
	}
	return nil
}

// holds reports whether a lease still has a device or a live share of its channel.
func (d *desk) holds(l *leaseRun) bool {
	if d.rig.Has(l.id) {
		return true
	}
	ch, err := d.books.byID(l.channel)
	if err != nil {
		return false
	}
	a, _ := ch.See()
	return a.Leases[l.id].Live
}

// leave lets the connection to a lease's customer go, unless another lease of the same one needs it.
func (d *desk) leave(l *leaseRun) {
	for _, o := range d.ofCustomer(l.customer) {
		if o != l && !o.over() {
			return
		}
	}
	d.net.Forget(l.customer)
}
