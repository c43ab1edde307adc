package customer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/store"
)

// diskAgain is how often a full disk is tried again.
const diskAgain = time.Second

// machine runs an order's Purchase: an event is applied and stored with what else the row gains by it, in one commit;
// after that, and at each start, exactly what the state on disk calls due is being done.
type machine struct {
	record
	work worker

	busy  sync.Mutex // taken before record's mu
	doing map[market.PurchaseEffect]context.CancelFunc
	timer *time.Timer
}

// busies reports that something is being done for the purchase.
func (m *machine) busies() bool {
	m.busy.Lock()
	defer m.busy.Unlock()
	return len(m.doing) > 0
}

// worker does what a machine calls due.
type worker interface {
	// do performs one effect until it is done or ctx ends.
	do(ctx context.Context, e market.PurchaseEffect)
	// stands hears each state before its effects begin; it must not wait.
	stands(p market.Purchase)
	// over hears that nothing is due any more.
	over(ctx context.Context)
	// lastUsed is when the job was last heard or used by its owner.
	lastUsed() time.Time
}

// apply gives the purchase what has happened, and stores it together with change, which may be nil and sees the
// purchase as it is afterwards. Errors: market.ErrIllegal for what comes too late: nothing has changed; the store's.
func (m *machine) apply(ctx context.Context, ev market.PurchaseEvent, change func(*orderRow)) error {
	var wrong error
	if err := m.update(ctx, m.step(ev, change, &wrong)); err != nil {
		return fmt.Errorf("store order: %w", err)
	}
	return m.applied(ctx, ev, wrong)
}

// step is one event of the purchase; wrong says why it was not applied.
func (m *machine) step(ev market.PurchaseEvent, change func(*orderRow), wrong *error) func(*orderRow) {
	return func(o *orderRow) {
		now := m.c.now()
		p, _, err := o.Purchase.Apply(ev, now)
		if err != nil {
			*wrong = err
			return
		}
		was := o.Purchase
		o.Purchase = p
		if change != nil {
			change(o)
		}
		if s := told(ev, was, p); s.Phase != "" {
			s.At = now
			o.Steps = append(o.Steps, s)
		}
	}
}

// applied goes on from an event that is on disk, or says why it was not applied.
func (m *machine) applied(ctx context.Context, ev market.PurchaseEvent, wrong error) error {
	if wrong != nil {
		if !errors.Is(wrong, market.ErrIllegal) {
			m.c.log.Error("Order event was not applied", "order", m.snapshot().ID, "event", fmt.Sprintf("%T", ev),
				"error", wrong)
		}
		return wrong
	}
	m.proceed(ctx)
	return nil
}

// happens is apply for what nobody waits for; what comes too late is no fault. A full disk is waited for: nobody would
// tell the order to go on.
func (m *machine) happens(ctx context.Context, ev market.PurchaseEvent, change func(*orderRow)) {
	err := m.apply(ctx, ev, change)
	for errors.Is(err, store.ErrDiskFull) && await.Sleep(ctx, diskAgain) == nil {
		if err = m.update(ctx, func(*orderRow) {}); err == nil {
			m.proceed(ctx)
		}
	}
	if err != nil && !errors.Is(err, market.ErrIllegal) {
		m.c.log.Error("Order was not stored", "order", m.snapshot().ID, "error", err)
	}
}

// told is the line of progress that people read about an event; no phase: none.
func told(ev market.PurchaseEvent, was, now market.Purchase) Step {
	switch e := ev.(type) {
	case market.QuoteChosen:
		return Step{Phase: "quote", Detail: fmt.Sprintf("%s asks %s SOL/h", e.Provider.Short(),
			market.Amount(e.Rate).SOL())}
	case market.NoQuote:
		if now.Stage == market.StageSearching && now.Waits != was.Waits {
			return Step{Phase: "waits", Detail: now.Waits}
		}
	case market.ChannelReady:
		return Step{Phase: "funded", Detail: e.Channel.String()}
	case market.NoChannel:
		if now.Stage == market.StageQuoting {
			return Step{Phase: "refused", Detail: e.Why.Detail}
		}
	case market.LeaseOver:
		switch {
		case len(now.Lost) > len(was.Lost):
			return Step{Phase: "retry", Detail: fmt.Sprintf("%s at %s; attempt %d of %d follows, with %s SOL", e.Code,
				was.Provider.Short(), len(now.Lost)+1, now.Terms.Retry+1, now.Left().SOL())}
		case now.Stage == market.StageQuoting:
			return Step{Phase: "refused", Detail: string(e.Code) + ": " + e.Detail}
		case now.Later:
			return Step{Phase: "refund", Detail: "the channel is kept: gpuai channel list"}
		}
	}
	return Step{}
}

// proceed sees that exactly what is due is being done: it begins what is not, and ends what is not due any more.
func (m *machine) proceed(ctx context.Context) {
	base := m.c.serving()
	if base == nil {
		return // Serve begins with it
	}
	m.busy.Lock()
	p := m.purchase()
	m.work.stands(p)
	due := p.Due()
	for e, cancel := range m.doing {
		if !slices.Contains(due, e) {
			cancel()
			delete(m.doing, e)
		}
	}
	for _, e := range due {
		if _, have := m.doing[e]; have {
			continue
		}
		ectx, cancel := context.WithCancel(base)
		if m.doing == nil {
			m.doing = map[market.PurchaseEffect]context.CancelFunc{}
		}
		m.doing[e] = cancel
		m.c.wg.Go(func() { m.work.do(ectx, e) })
	}
	m.arm(base, p.NextTimer())
	m.busy.Unlock()
	if p.Ended() && !p.Lingers {
		m.work.over(ctx)
	}
}

// arm sets the purchase's timer. Caller holds busy.
func (m *machine) arm(ctx context.Context, at time.Time) {
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
	if at.IsZero() {
		return
	}
	m.timer = time.AfterFunc(max(at.Sub(m.c.now()), time.Millisecond), func() {
		if ctx.Err() == nil {
			m.happens(ctx, market.OrderTick{Used: m.work.lastUsed()}, nil)
		}
	})
}

// do performs one effect until it is done or ctx ends.
func (r *orderRun) do(ctx context.Context, e market.PurchaseEffect) {
	switch e := e.(type) {
	case market.AskQuotes:
		r.place.askQuotes(ctx, e)
	case market.WatchBook:
		r.place.watchBook(ctx, e)
	case market.MakeChannel:
		r.place.makeChannel(ctx, e)
	case market.SignLease:
		r.place.signLease(ctx, e)
	case market.FollowLease:
		r.hire.follow(ctx, e)
	case market.StopLease:
		r.hire.stop(ctx, e)
	case market.BringHome:
		r.bringHome(ctx, e)
	}
}

func (r *orderRun) stands(p market.Purchase) {
	r.place.stands(p)
	if p.Terms.Wait > 0 {
		req := r.snapshot().Request
		r.c.wants.stands(p, &req)
	}
}

func (r *orderRun) lastUsed() time.Time { return r.hire.lastUsed() }

func (r *orderRun) over(ctx context.Context) { r.log.close(ctx) }

// reasonOf says why an order ends, for programs and for people.
func reasonOf(err error) market.Reason {
	var me *market.Error
	w := market.Reason{Code: market.CodeOf(err), Detail: err.Error(), Hint: "gpuai offers --explain"}
	if errors.As(err, &me) && me.Hint != "" {
		w.Hint = me.Hint
	}
	if me != nil && me.Code == market.CodeFundsShort && me.Detail != "" {
		w.Detail = me.Detail // what the sender was doing is no news to a person
	}
	var refusal *market.Refusal
	switch {
	case w.Code == "":
		w.Code = market.CodeInternal
	case w.Code == market.CodeInternal && errors.As(err, &refusal):
		// the other side's, which keeps to itself what it was
		w.Code = market.CodePeerFailed
	}
	return w
}

// wish is the order as it is asked for now: within what is left of its budget.
func (o orderRow) wish() Request {
	q := o.Request
	q.File.Limits.MaxTotal = o.Left()
	return q
}

// stop tells the lease's machine that its order wants the end.
func (h *hire) stop(ctx context.Context, e market.StopLease) {
	grace := time.Duration(0)
	if e.Kill {
		grace = -1
	}
	// it is about to run
	if h.r.bell.Until(ctx, func() bool { a := h.at(); return a != nil && a.Lease().ID == e.Lease }) != nil {
		return
	}
	h.event(ctx, market.StopAsked{By: market.CustomerSide, Code: e.Code, Grace: grace})
	h.r.happens(ctx, market.StopTold{N: e.N}, nil)
}
