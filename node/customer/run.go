package customer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/joblog"
	"github.com/gpuai/gpuai/node/lease"
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

// orderRow is what the store keeps of an Order and its lease.
type orderRow struct {
	Request    Request
	ID         market.OrderID
	Created    time.Time
	Standing   string
	Code       market.Code // why it failed
	Detail     string
	Hint       string
	Provider   market.NodeID
	Reach      []string
	Rate       market.Rate
	Channel    market.ChannelID
	Raw        []byte // the Lease envelope
	Lease      *market.Lease
	Decision   []byte
	Receipt    []byte
	Outcome    []byte // the provider's
	OwnOutcome []byte
	InputsSent bool
	BootID     string
	Paid       market.Amount // after the finish, read from the ledger
	Returned   market.Amount
	Finished   bool
	FinishSig  string
	ReadyAt    time.Time
	Steps      []Step
	Attempts   int // leases that were refused
	// RefundLater: the order is over, but its channel goes on: kept, used by another job, or closing until its
	// deadline.
	RefundLater bool
	Events      int    // that the lease has left in the store
	Costs       []cost `json:",omitempty"`
	StopAsked   bool

	Log   *joblog.State `json:",omitempty"` // how the job's log ended; nil until then
	Files Files
}

// Step is one line of progress, for people.
type Step struct {
	At     time.Time
	Phase  string
	Detail string
}

// orderRun drives one order from search to refund.
type orderRun struct {
	c      *Customer
	saving sync.Mutex // held from a look at row until that is on disk: an older row must not overwrite a newer one
	mu     sync.Mutex
	row    orderRow
	actor  *lease.Actor
	subs   map[chan struct{}]struct{}
	stop   bool
	kill   bool
	phase  string // progress of the preparation
	done   uint64
	total  uint64

	receiptSeq uint64 // of the newest Receipt of this start
	log        *joblog.Log
	copying    *logCopy // of the lease that is followed

	// Of the placing, used by serve alone.
	resumed    bool      // by a start of this node: its book is still empty
	firstAsked bool      // see first
	until      time.Time // it gives up then, counted from this start

	shunned map[market.NodeID]shunned // under mu

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
	run, id, err := c.enter(ctx, r, StandingSearching)
	if err == nil && run != nil {
		c.start <- run
	}
	return id, err
}

// enter stores a new order; run is nil if its Key is known already.
func (c *Customer) enter(ctx context.Context, r Request, standing string) (run *orderRun, id market.OrderID,
	err error) {
	id = OrderIDOf(c.cfg.ID, r.Key)
	run = &orderRun{c: c, subs: map[chan struct{}]struct{}{},
		row: orderRow{Request: r, ID: id, Created: c.now(), Standing: standing}}
	c.mu.Lock()
	if _, have := c.runs[id]; have {
		c.mu.Unlock()
		return nil, id, nil
	}
	c.runs[id], c.order = run, append(c.order, id) // entered first: two calls at once are one order too
	c.mu.Unlock()
	if err := c.put(context.WithoutCancel(ctx), bucketOrders, id[:], row(run.row),
		happened(&orderRow{}, &run.row, c.now())...); err != nil {
		return nil, id, fmt.Errorf("store order: %w", err) // the store is dead, and with it this node
	}
	return run, id, nil
}

// update changes the row, stores it and wakes watchers.
func (r *orderRun) update(ctx context.Context, f func(*orderRow)) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	old := r.row
	f(&r.row)
	events := happened(&old, &r.row, r.c.now())
	b := row(r.row)
	id := r.row.ID
	r.mu.Unlock()
	err := r.c.put(context.WithoutCancel(ctx), bucketOrders, id[:], b, events...)
	r.wake()
	return err
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

// serve goes on from where the row stands, until the order is over or ctx ends.
func (r *orderRun) serve(ctx context.Context) {
	defer r.closeLog(ctx)
	o := r.snapshot()
	if r.until.IsZero() {
		r.until = r.c.now().Add(patience)
	}
	if o.Standing == StandingSearching || o.Standing == StandingFunding {
		if err := r.place(ctx); err != nil {
			if ctx.Err() != nil {
				return // placed again at the next start, on the same key
			}
			r.fail(ctx, err)
			return
		}
	}
	if o := r.snapshot(); (o.Standing == StandingLeased || lingers(&o)) && r.follow(ctx) {
		r.serve(ctx) // refused for a reason that another quote may not share
	}
}

func (r *orderRun) fail(ctx context.Context, err error) {
	var me *market.Error
	hint, detail := "gpuai offers --explain", err.Error()
	if errors.As(err, &me) && me.Hint != "" {
		hint = me.Hint
	}
	if me != nil && me.Code == market.CodeFundsShort && me.Detail != "" {
		detail = me.Detail // what the sender was doing is no news to a person
	}
	code := market.CodeOf(err)
	var refusal *market.Refusal
	switch {
	case code == "":
		code = market.CodeInternal
	case code == market.CodeInternal && errors.As(err, &refusal): // the other side's, which keeps to itself what it was
		code = market.CodePeerFailed
	}
	r.c.log.Info("Order failed", "order", r.row.ID, "code", code, "error", err)
	_ = r.update(ctx, func(o *orderRow) { o.Standing, o.Code, o.Detail, o.Hint = StandingFailed, code, detail, hint })
	if ch := r.snapshot().Channel; ch != (market.ChannelID{}) {
		r.c.finishChannel(ctx, ch, r)
	}
}

// propose signs the Lease, stores it, sends it, and waits for the Decision.
func (r *orderRun) propose(ctx context.Context, req *Request, off *offered, ch *channel) error {
	now := r.c.now()
	sp, err := req.File.Spec().Encode()
	if err != nil {
		return &market.Error{Code: market.CodeSpecSize, Kind: market.KindInvalid, Op: "encode job", Err: err,
			Hint: "shorten command and env"}
	}
	p := market.Proposal{
		Order: off.orderRaw, Quote: off.quoteRaw, Channel: ch.id, VoucherKey: ch.row.Terms.VoucherKey,
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
	m, err := market.NewLease(id, market.CustomerSide, r.c.terms(req, off, p, ch.aheadOf()))
	if err != nil {
		return err
	}
	if m, _, err = m.Apply(market.Placed{}, now); err != nil {
		return err
	}
	ch.mu.Lock()
	acc, err := ch.row.Account.AddLease(id, p.Cap, off.quote.MinHeadroom)
	if err == nil && ch.avoid {
		err = market.Refuse(market.CodeChannelUnfit, market.KindConflict, "its money is asked back")
	}
	if err == nil {
		ch.row.Account = acc
		err = r.c.saveChannel(ctx, ch)
	}
	ch.mu.Unlock()
	if err != nil {
		return err
	}
	err = r.update(ctx, func(o *orderRow) {
		o.Standing, o.Raw, o.Lease, o.BootID = StandingLeased, raw, &m, r.c.clock.BootID()
	})
	if err != nil {
		return fmt.Errorf("store lease: %w", err)
	}
	return nil
}

// aheadOf is what leases that are over have signed on the channel beyond what they owe. Until the channel is released
// its provider could take it, so it counts against the away allowance of the next ones.
func (ch *channel) aheadOf() (sum market.Amount) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, s := range ch.row.Account.Leases {
		if !s.Live && s.Paid > s.Owed {
			sum += s.Paid - s.Owed
		}
	}
	return sum
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

// follow runs the lease's actor until it is over; again says that the order searches on.
func (r *orderRun) follow(ctx context.Context) (again bool) {
	o := r.snapshot()
	var err error
	r.mu.Lock()
	r.actor, err = lease.New(lease.Config{
		Lease: *o.Lease, Clock: r.c.clock.Read, SameBoot: o.BootID == r.c.clock.BootID(), Offline: r.c.offline,
	}, r, r.act, r.c.log)
	r.mu.Unlock()
	if err != nil {
		r.fail(ctx, err)
		return false
	}
	r.c.net.KeepConnected(o.Provider, o.Reach)
	s := r.c.sessionWith(ctx, o.Provider)
	defer func() {
		if s.leave() { // other leases need the connection
			r.c.net.Forget(o.Provider)
		}
	}()
	var wg sync.WaitGroup
	actx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); wg.Wait() }()
	copying := r.copyLog(actx, &wg)
	r.mu.Lock()
	r.copying = copying
	r.mu.Unlock()
	wg.Go(func() { _ = r.actor.Serve(actx) }) // its end is seen at over
	if r.stopped() {
		r.sendStop(ctx)
	}
	select {
	case <-ctx.Done():
		return false
	case <-r.over(ctx):
	}
	m := r.actor.Lease()
	r.c.endShare(ctx, o.Channel, m)
	if r.again(ctx, m) {
		r.say(ctx, "refused", string(m.Code)+": "+m.Detail)
		err := r.update(ctx, func(o *orderRow) {
			o.Standing, o.Lease, o.Raw, o.Decision, o.Attempts = StandingSearching, nil, nil, nil, o.Attempts+1
			// whatever came with the refusal is not of the next lease
			o.Receipt, o.Outcome, o.OwnOutcome = nil, nil, nil
		})
		return err == nil
	}
	r.settle(ctx, o, m)
	r.linger(ctx, o.Channel)
	return false
}

// settle brings the money of a lease home that waits for nothing of its provider any more, and ends the order.
func (r *orderRun) settle(ctx context.Context, o orderRow, m market.Lease) {
	standing := StandingEnded
	if m.State != market.Ended && !m.LetGo {
		standing = StandingFailed
	}
	if (m.KeepChannel || o.Request.KeepChannel) && m.Code != market.CodeProviderSilent {
		r.later(ctx, "the channel is kept: gpuai channel list")
	} else {
		r.c.finishChannel(ctx, o.Channel, r)
	}
	if ctx.Err() != nil {
		return // finished at the next start
	}
	hint := "gpuai show " + o.ID.String()
	if h := advice(m.Code, o.Provider); h != "" && m.State == market.Refused {
		hint = h
	}
	_ = r.update(ctx, func(o *orderRow) {
		o.Standing, o.Code, o.Detail, o.Hint = standing, m.Code, m.Detail, hint
	})
}

// later notes that the order ends without its refund.
func (r *orderRun) later(ctx context.Context, why string) {
	_ = r.update(ctx, func(o *orderRow) {
		if !o.RefundLater {
			o.RefundLater = true
			o.Steps = append(o.Steps, Step{At: r.c.now(), Phase: "refund", Detail: why})
		}
	})
}

// over is closed once no money of the lease waits for the provider any more.
func (r *orderRun) over(ctx context.Context) <-chan struct{} {
	out := make(chan struct{})
	r.c.wg.Go(func() {
		defer close(out)
		for !r.actor.Lease().MoneyOver() {
			if sleep(ctx, 50*time.Millisecond) != nil {
				return
			}
		}
	})
	return out
}

func (r *orderRun) stopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop
}

// endShare makes the lease's share of the channel final in our own books.
func (c *Customer) endShare(ctx context.Context, id market.ChannelID, m market.Lease) {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil {
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.alone.Store(m.LetGo && !m.Heard(c.now()))
	ch.row.Account = ch.row.Account.EndLease(m.ID, acknowledged(m))
	if err := c.saveChannel(ctx, ch); err != nil {
		c.log.Error("Channel was not stored", "channel", id, "error", err)
	}
}

var _ lease.Store = (*orderRun)(nil)

// Commit implements lease.Store.
func (r *orderRun) Commit(ctx context.Context, m market.Lease, _ []market.Effect) error {
	return r.update(ctx, func(o *orderRow) {
		if o.ReadyAt.IsZero() && !m.Ready.IsZero() {
			o.ReadyAt = m.Ready
		}
		if o.Lease == nil || o.Lease.State != m.State {
			o.Steps = append(o.Steps, Step{At: r.c.now(), Phase: m.State.String(), Detail: string(m.Code)})
		}
		r.noteCap(o, m)
		o.Lease = &m
	})
}

// parseRelease decodes 50 + 64 bytes.
func parseRelease(b [114]byte) (escrow.SignedRelease, error) { return escrow.ParseRelease(b[:]) }
