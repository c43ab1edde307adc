package customer

import (
	"context"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
)

// orderRun does what an order's purchase calls due.
type orderRun struct {
	machine
	place placing
	hire  hire
	log   ownLog
	files transfers
}

// newRun returns a run of a row that is not on disk yet.
func (c *Customer) newRun(row orderRow) *orderRun {
	r := &orderRun{machine: machine{record: record{c: c, row: row}}}
	r.work, r.place.r, r.log.r, r.files.r = r, r, r, r
	r.hire = hire{r: r, turn: make(chan struct{}, 1)}
	return r
}

// termsOf is what a request asks of its purchase.
func termsOf(r *Request) market.PurchaseTerms {
	l := r.File.Limits
	return market.PurchaseTerms{Budget: l.MaxTotal, Retry: r.File.Retry, IdleStop: l.IdleStop, TTL: l.TTL, Wait: l.Wait,
		Keep: r.KeepChannel}
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
func (l *orders) paidTo(provider market.NodeID) (ms uint64) {
	ms = l.servedBy(provider)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runs {
		r.mu.Lock()
		if r.row.Provider == provider {
			ms += paidMS(r.row.Lease)
		}
		r.mu.Unlock()
	}
	return ms
}

// paidMS is the time that a lease has paid, once it is over.
func paidMS(m *market.Lease) uint64 {
	if m == nil || !m.Terminal() || m.Paid < m.Claim {
		return 0
	}
	return m.ClaimMS
}

// endShare makes the lease's share of the channel final in our own books.
func (c *Customer) endShare(ctx context.Context, id market.ChannelID, m market.Lease) {
	ch := c.Of(id)
	if ch == nil {
		return
	}
	if err := ch.EndLease(ctx, m.ID, acknowledged(m), m.LetGo && !m.Heard(c.now())); err != nil {
		c.log.Error("Channel was not stored", "channel", id, "error", err)
	}
}

var _ lease.Store = (*hire)(nil)

// Commit implements lease.Store. A voucher that the step asks for is signed and kept with it, in one Change: what
// leaves afterwards is on disk. One that cannot be signed is the payment's own failure.
func (h *hire) Commit(ctx context.Context, m market.Lease, effects []market.Effect) error {
	var v version
	add := func(c *store.Change) {
		var put func(*store.Change)
		put, v = h.stepped(m)
		put(c)
	}
	for _, e := range effects {
		pay, ok := e.(market.SignPayment)
		ch := h.r.c.Of(h.r.snapshot().Channel)
		if !ok || ch == nil {
			continue
		}
		err := ch.SignWith(ctx, m.ID, pay.LeaseAmount, add) // before v is read
		return h.r.ended(v, err)
	}
	err := h.r.c.Queue(add) // before v is read
	return h.r.ended(v, err)
}

// stepped takes a step of the lease into the row. Most change its tick alone.
func (h *hire) stepped(m market.Lease) (func(*store.Change), version) {
	h.r.mu.Lock()
	o := &h.r.row
	if o.Lease == nil || o.Lease.ID != m.ID { // the order has gone on without it
		h.r.mu.Unlock()
		return func(*store.Change) {}, version{}
	}
	if !h.r.behind() && o.Lease.State == m.State && (!o.ReadyAt.IsZero() || m.Ready.IsZero()) &&
		m.Terms == o.Lease.Terms {
		o.Lease = &m
		put := o.tick()
		h.r.mu.Unlock()
		return func(c *store.Change) { c.Puts = append(c.Puts, put) }, version{}
	}
	h.r.mu.Unlock()
	return h.r.change(func(o *orderRow) {
		if o.Lease.State != m.State {
			o.Steps = append(o.Steps, Step{At: h.r.c.now(), Phase: m.State.String(), Detail: string(m.Code)})
		}
		if o.ReadyAt.IsZero() && !m.Ready.IsZero() {
			o.ReadyAt = m.Ready
		}
		capRaise{h}.note(o, m)
		o.Lease = &m
	})
}
