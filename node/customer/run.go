package customer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/joblog"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Standing of an order: it follows from its rows, and is kept for people.
const (
	StandingSearching = "searching"
	StandingFunding   = "funding"
	StandingLeased    = "leased"
	StandingEnded     = "ended"
	StandingFailed    = "failed"
)

// orderRow is what the store keeps of an Order and its newest lease.
type orderRow struct {
	Request         Request
	ID              market.OrderID
	Created         time.Time
	market.Purchase `json:"Purchase"` // where the order stands
	Reach           []string          // of the provider
	Raw             []byte            // the Lease envelope
	LeaseID         market.LeaseID    `json:",omitzero"` // of Lease, whose row is its tick
	Lease           *market.Lease     `json:"-"`
	Decision        []byte
	Receipt         []byte `json:"-"` // in the tick
	Outcome         []byte // the provider's
	OwnOutcome      []byte
	InputsSent      bool
	BootID          string
	ReadyAt         time.Time
	Steps           []Step
	Events          int    `json:"-"` // that the lease has left in the store; in the tick
	Costs           []cost `json:",omitempty"`

	Log     *joblog.State `json:",omitempty"` // how the job's log ended; nil until then
	LogFrom uint64        `json:",omitempty"` // where the newest lease's part of it begins
	Files   Files
}

// Step is one line of progress, for people.
type Step struct {
	At     time.Time
	Phase  string
	Detail string
}

// orderRun does what an order's purchase calls due.
type orderRun struct {
	c      *Customer
	mu     sync.Mutex
	row    orderRow
	behind bool // not all of it is on disk
	actor  *lease.Actor
	subs   map[chan struct{}]struct{}
	phase  string // progress of the preparation
	done   uint64
	total  uint64

	doing map[market.PurchaseEffect]context.CancelFunc // what is being done for the purchase
	timer *time.Timer                                  // of the purchase
	offer *offered                                     // the quote that it goes on with
	held  *channel                                     // whose money is promised to it
	look  look                                         // of the search
	used  use
	turn  chan struct{} // full while a lease is followed

	receiptSeq uint64 // of the newest Receipt of this start
	log        *joblog.Log
	copying    *logCopy // of the lease that is followed

	lastInputs, lastOutputs market.Code // codes of the last failures to move them; each owned by its effect
	sent                    sent
}

// Place takes an order; the same Key returns the same order. It waits until Serve has read the store. Errors:
// bad-usage; ctx's; the store's.
func (c *Customer) Place(ctx context.Context, r Request) (market.OrderID, error) {
	if err := r.Validate(); err != nil {
		return market.OrderID{}, err
	}
	if err := c.whenRead(ctx); err != nil {
		return market.OrderID{}, err
	}
	return c.enter(ctx, r, false)
}

// enter stores a new order and lets it go on; waits: once its inputs are here. A known Key is the same order.
func (c *Customer) enter(ctx context.Context, r Request, waits bool) (market.OrderID, error) {
	id := OrderIDOf(c.cfg.ID, r.Key)
	p, err := market.NewPurchase(id, termsOf(&r), waits, c.now())
	if err != nil {
		return id, err
	}
	run := c.newRun(orderRow{Request: r, ID: id, Created: c.now(), Purchase: p})
	c.mu.Lock()
	if _, have := c.runs[id]; have {
		c.mu.Unlock()
		return id, nil
	}
	c.runs[id], c.order = run, append(c.order, id) // entered first: two calls at once are one order too
	c.mu.Unlock()
	if err := c.till.Queue(func(ch *store.Change) { run.stage(ch, orderRow{}) }); err != nil {
		return id, fmt.Errorf("store order: %w", err) // the store is dead, and with it this node
	}
	run.proceed(ctx)
	return id, nil
}

func (c *Customer) newRun(row orderRow) *orderRun {
	return &orderRun{c: c, subs: map[chan struct{}]struct{}{}, turn: make(chan struct{}, 1), row: row}
}

// termsOf is what a request asks of its purchase.
func termsOf(r *Request) market.PurchaseTerms {
	l := r.File.Limits
	return market.PurchaseTerms{Budget: l.MaxTotal, Retry: r.File.Retry, IdleStop: l.IdleStop, TTL: l.TTL,
		Keep: r.KeepChannel}
}

// update changes the row, stores it and wakes watchers.
func (r *orderRun) update(ctx context.Context, f func(*orderRow)) error {
	return r.stored(r.c.till.Queue(func(c *store.Change) { r.change(f)(c) }))
}

// stored notes how a Change of the row ended: after one that found no room, the next step says all.
func (r *orderRun) stored(err error) error {
	r.mu.Lock()
	r.behind = err != nil
	r.mu.Unlock()
	r.wake()
	return err
}

// change changes the row and returns what stores it. Called in the till's order, which is that of the rows on disk.
func (r *orderRun) change(f func(*orderRow)) func(*store.Change) {
	r.mu.Lock()
	old := r.row
	f(&r.row)
	r.mu.Unlock()
	var c store.Change
	r.stage(&c, old)
	return func(to *store.Change) {
		to.Puts, to.Events = append(to.Puts, c.Puts...), append(to.Events, c.Events...)
	}
}

// stage puts the row, and its lease's tick if that is another.
func (r *orderRun) stage(c *store.Change, old orderRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &r.row
	if o.LeaseID = (market.LeaseID{}); o.Lease != nil {
		o.LeaseID = o.Lease.ID
	}
	c.Events = append(c.Events, happened(&old, o, r.c.now())...)
	c.Puts = append(c.Puts, store.Put{Bucket: bucketOrders, Key: o.ID[:], Value: store.Row(o)})
	if o.Lease != old.Lease && o.Lease != nil {
		c.Puts = append(c.Puts, o.tick())
	}
}

// tick puts the order's lease.
func (o *orderRow) tick() store.Put {
	t := rows.Tick{Lease: *o.Lease, Receipt: o.Receipt, Events: o.Events}
	return store.Put{Bucket: bucketTicks, Key: o.Lease.ID[:], Value: t.Encode()}
}

func (r *orderRun) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ch := range r.subs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (r *orderRun) say(ctx context.Context, phase, detail string) {
	err := r.update(ctx, func(o *orderRow) {
		o.Steps = append(o.Steps,
			Step{At: r.c.now(), Phase: phase, Detail: detail})
	})
	if err != nil {
		r.c.log.Warn("Progress was not stored", "order", r.row.ID, "error", err)
	}
}

func (r *orderRun) snapshot() orderRow {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.row
}

// propose signs the Lease and stores it.
func (r *orderRun) propose(ctx context.Context, req *Request, off *offered, ch *channel, round uint32) error {
	now := r.c.now()
	sp, err := req.File.Spec().Encode()
	if err != nil {
		return &market.Error{Code: market.CodeSpecSize, Kind: market.KindInvalid, Op: "encode job", Err: err,
			Hint: "shorten command and env"}
	}
	p := market.Proposal{
		Order: off.orderRaw, Quote: off.quoteRaw, Channel: ch.id, VoucherKey: ch.row().Terms.VoucherKey,
		BindSig: signBind(ch.key, r.c.cfg.ID, ch.id), Cap: leaseCap(req, off), Spec: sp,
		Created: now.Truncate(time.Millisecond), AcceptUntil: now.Add(acceptWithin).Truncate(time.Millisecond),
	}
	h := sha256.Sum256(append(off.quoteRaw, ch.id[:]...))
	copy(p.Nonce[:], h[:])
	raw, err := wire.SealProposal(r.c.cfg.Key, r.c.cfg.Network, p)
	if err != nil {
		return fmt.Errorf("seal lease: %w", err)
	}
	env, err := wire.Open(raw, r.c.cfg.Network)
	if err != nil {
		return fmt.Errorf("open own lease: %w", err)
	}
	id := market.LeaseID(env.ID)
	m, err := market.NewLease(id, market.CustomerSide, r.c.terms(req, off, p, ch.account().Ahead()))
	if err != nil {
		return err
	}
	if m, _, err = m.Apply(market.Placed{}, now); err != nil {
		return err
	}
	return r.enterLease(ctx, ch, market.LeaseSigned{Round: round, Lease: id}, p.Cap, off.quote.MinHeadroom,
		func(o *orderRow) { o.Raw, o.Lease, o.BootID = raw, &m, r.c.clock.BootID() })
}

// enterLease enters the lease's share of the channel and makes it the order's, in one Change.
func (r *orderRun) enterLease(ctx context.Context, ch *channel, ev market.LeaseSigned, limit, headroom market.Amount,
	change func(*orderRow)) error {
	var wrong error
	err := r.c.enterBooks(ctx, ch, func(e *entry) error {
		account, err := e.Account.AddLease(ev.Lease, limit, headroom)
		if err != nil {
			return err
		}
		ch.mu.Lock()
		avoid := ch.avoid
		ch.mu.Unlock()
		if avoid {
			return market.Refuse(market.CodeChannelUnfit, market.KindConflict, "its money is asked back")
		}
		add := r.change(r.step(ev, change, &wrong))
		if wrong != nil {
			return wrong
		}
		e.Account = account
		e.Add(add)
		return nil
	})
	if err != nil && wrong == nil {
		return err
	}
	r.wake()
	return r.applied(ctx, ev, wrong)
}

func (c *Customer) terms(req *Request, off *offered, p market.Proposal, ahead market.Amount) market.Terms {
	q := off.quote
	return market.Terms{
		Rate: q.Rate, Devices: len(q.Devices), Tick: q.Tick, Hold: q.Hold, Prepay: q.Prepay > 0, PrepMax: q.PrepMax,
		StartTimeout: startTimeout(req.File.Limits.StartTimeout, q.PrepMax), MaxDuration: req.File.Limits.MaxDuration,
		StopGrace: req.File.StopGrace,
		Cap:       p.Cap, Budget: req.File.Limits.MaxTotal,
		AcceptUntil: p.AcceptUntil, Away: min(req.File.Limits.Away, market.MaxAway),
		AwayMax: c.cfg.AwayMax - min(ahead, c.cfg.AwayMax), SilentEnd: c.cfg.SilentEnd,
		AwayAfter: c.cfg.AwayAfter, PriorMS: c.paidTo(off.provider),
	}
}

// paidTo is the time that leases which are over have paid to a provider.
func (c *Customer) paidTo(provider market.NodeID) (ms uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		r.mu.Lock()
		if m := r.row.Lease; m != nil && r.row.Provider == provider && m.Terminal() && m.Paid >= m.Claim {
			ms += m.ClaimMS
		}
		r.mu.Unlock()
	}
	return ms
}

// endShare makes the lease's share of the channel final in our own books.
func (c *Customer) endShare(ctx context.Context, id market.ChannelID, m market.Lease) {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil {
		return
	}
	ch.alone.Store(m.LetGo && !m.Heard(c.now()))
	err := c.enterBooks(ctx, ch, func(e *entry) error {
		e.Account = e.Account.EndLease(m.ID, acknowledged(m))
		return nil
	})
	if err != nil {
		c.log.Error("Channel was not stored", "channel", id, "error", err)
	}
}

var _ lease.Store = (*orderRun)(nil)

// Commit implements lease.Store. A voucher that the step asks for is signed and kept with it, in one Change: what
// leaves afterwards is on disk. One that cannot be signed is the payment's own failure.
func (r *orderRun) Commit(ctx context.Context, m market.Lease, effects []market.Effect) error {
	add := func() func(*store.Change) { return r.stepped(m) }
	for _, e := range effects {
		pay, ok := e.(market.SignPayment)
		ch := r.c.channelOf(r.snapshot().Channel)
		if !ok || ch == nil {
			continue
		}
		return r.stored(ch.Write(ctx, false, func(b *entry) error {
			if next, _, err := b.Account.Sign(ch.key, m.ID, pay.LeaseAmount); err == nil {
				b.Account = next
			}
			b.Add(add())
			return nil
		}))
	}
	return r.stored(r.c.till.Queue(func(c *store.Change) { add()(c) }))
}

// stepped takes a step of the lease into the row. Most change its tick alone.
func (r *orderRun) stepped(m market.Lease) func(*store.Change) {
	r.mu.Lock()
	o := &r.row
	if o.Lease == nil || o.Lease.ID != m.ID { // the order has gone on without it
		r.mu.Unlock()
		return func(*store.Change) {}
	}
	if !r.behind && o.Lease.State == m.State && (!o.ReadyAt.IsZero() || m.Ready.IsZero()) && m.Terms == o.Lease.Terms {
		o.Lease = &m
		put := o.tick()
		r.mu.Unlock()
		return func(c *store.Change) { c.Puts = append(c.Puts, put) }
	}
	r.mu.Unlock()
	return r.change(func(o *orderRow) {
		if o.Lease.State != m.State {
			o.Steps = append(o.Steps, Step{At: r.c.now(), Phase: m.State.String(), Detail: string(m.Code)})
		}
		if o.ReadyAt.IsZero() && !m.Ready.IsZero() {
			o.ReadyAt = m.Ready
		}
		r.noteCap(o, m)
		o.Lease = &m
	})
}

// parseRelease decodes 50 + 64 bytes.
func parseRelease(b [114]byte) (escrow.SignedRelease, error) { return escrow.ParseRelease(b[:]) }
