package customer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
)

// An order's row holds its Purchase. An event is applied and stored with what else the row gains by it, in one commit;
// after that, and at each start, exactly what the state calls due is being done.

// apply gives the purchase what has happened, and stores it together with change, which may be nil and sees the
// purchase as it is afterwards. Errors: market.ErrIllegal for what comes too late: nothing has changed; the store's.
func (r *orderRun) apply(ctx context.Context, ev market.PurchaseEvent, change func(*orderRow)) error {
	var wrong error
	if err := r.update(ctx, r.step(ev, change, &wrong)); err != nil {
		return fmt.Errorf("store order: %w", err)
	}
	return r.applied(ctx, ev, wrong)
}

// step is one event of the purchase; wrong says why it was not applied.
func (r *orderRun) step(ev market.PurchaseEvent, change func(*orderRow), wrong *error) func(*orderRow) {
	return func(o *orderRow) {
		now := r.c.now()
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
func (r *orderRun) applied(ctx context.Context, ev market.PurchaseEvent, wrong error) error {
	if wrong != nil {
		if !errors.Is(wrong, market.ErrIllegal) {
			r.c.log.Error("Order event was not applied", "order", r.row.ID, "event", fmt.Sprintf("%T", ev), "error",
				wrong)
		}
		return wrong
	}
	r.proceed(ctx)
	return nil
}

// happens is apply for what nobody waits for; what comes too late is no fault.
func (r *orderRun) happens(ctx context.Context, ev market.PurchaseEvent, change func(*orderRow)) {
	err := r.apply(ctx, ev, change)
	if err != nil && !errors.Is(err, market.ErrIllegal) {
		r.c.log.Error("Order was not stored", "order", r.row.ID, "error", err)
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
func (r *orderRun) proceed(ctx context.Context) {
	base := r.c.serving()
	if base == nil {
		return // Serve begins with it
	}
	r.mu.Lock()
	p := r.row.Purchase
	due := p.Due()
	for e, cancel := range r.doing {
		if !contains(due, e) {
			cancel()
			delete(r.doing, e)
		}
	}
	for _, e := range due {
		if _, have := r.doing[e]; have {
			continue
		}
		ectx, cancel := context.WithCancel(base)
		if r.doing == nil {
			r.doing = map[market.PurchaseEffect]context.CancelFunc{}
		}
		r.doing[e] = cancel
		r.c.wg.Go(func() { r.do(ectx, e) })
	}
	if p.Stage != market.StageFunding && p.Stage != market.StageProposing && r.held != nil {
		held := r.held
		r.held = nil
		defer held.drop(r)
	}
	r.arm(base, p.NextTimer())
	r.mu.Unlock()
	if p.Ended() && !p.Lingers {
		r.closeLog(ctx)
	}
}

func contains(due []market.PurchaseEffect, e market.PurchaseEffect) bool {
	for _, d := range due {
		if d == e {
			return true
		}
	}
	return false
}

// arm sets the purchase's timer. Caller holds mu.
func (r *orderRun) arm(ctx context.Context, at time.Time) {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	if at.IsZero() {
		return
	}
	r.timer = time.AfterFunc(max(at.Sub(r.c.now()), time.Millisecond), func() {
		if ctx.Err() == nil {
			r.happens(ctx, market.OrderTick{Used: r.lastUsed()}, nil)
		}
	})
}

// do performs one effect until it is done or ctx ends.
func (r *orderRun) do(ctx context.Context, e market.PurchaseEffect) {
	switch e := e.(type) {
	case market.AskQuotes:
		r.askQuotes(ctx, e)
	case market.WatchBook:
		r.watchBook(ctx, e)
	case market.MakeChannel:
		r.makeChannel(ctx, e)
	case market.SignLease:
		r.signLease(ctx, e)
	case market.FollowLease:
		r.followLease(ctx, e)
	case market.StopLease:
		r.stopLease(ctx, e)
	case market.BringHome:
		r.bringHome(ctx, e)
	}
}

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
func (r *orderRun) wish() Request {
	o := r.snapshot()
	q := o.Request
	q.File.Limits.MaxTotal = o.Left()
	return q
}

// stopLease tells the lease's machine that its order wants the end.
func (r *orderRun) stopLease(ctx context.Context, e market.StopLease) {
	grace := time.Duration(0)
	if e.Kill {
		grace = -1
	}
	changed, done := r.subscribe()
	defer done()
	for r.actorOf(e.Lease) == nil { // it is about to run
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
	r.event(ctx, market.StopAsked{By: market.CustomerSide, Code: e.Code, Grace: grace})
	r.happens(ctx, market.StopTold{N: e.N}, nil)
}
