package customer

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
)

// place searches, funds and proposes; what another provider may not share, or may pass, tries again.
func (r *orderRun) place(ctx context.Context) error {
	req := r.snapshot().Request
	for unfit := 0; ; {
		if r.stopped() {
			return errStopped()
		}
		off, err := r.search(ctx, &req)
		if err != nil {
			return err
		}
		if err := CapFits(off.quote.Rate, &req, off.quote.Tick); err != nil {
			return err
		}
		err = r.take(ctx, &req, off)
		switch code := market.CodeOf(err); {
		case err == nil || ctx.Err() != nil || code == market.CodeTransactionPending || !r.c.now().Before(r.until):
			return err
		case code == market.CodeChannelUnfit && unfit < maxAttempts:
			// our own word: it was released, or its close asked for, since it was chosen
			unfit++
		case waitsFor(err) == 0:
			return err
		default:
			r.shun(off.provider, err)
		}
		r.say(ctx, "refused", err.Error())
		_ = r.update(ctx, func(o *orderRow) { o.Standing = StandingSearching })
	}
}

// take funds and proposes for one quote.
func (r *orderRun) take(ctx context.Context, req *Request, off offered) (err error) {
	r.say(ctx, "quote", fmt.Sprintf("%s asks %s SOL/h", off.provider.Short(), market.Amount(off.quote.Rate).SOL()))
	_ = r.update(ctx, func(o *orderRow) {
		o.Standing, o.Provider, o.Reach, o.Rate = StandingFunding, off.provider, off.reach, off.quote.Rate
	})
	if off, err = r.meant(ctx, req, off); err != nil {
		return err
	}
	ch, err := r.funded(ctx, req, &off)
	if err != nil {
		return err
	}
	defer ch.drop(r)
	_ = r.update(ctx, func(o *orderRow) { o.Channel = ch.id })
	r.say(ctx, "funded", ch.id.String())
	if r.stopped() {
		return errStopped()
	}
	// the chain, or the line before it, took longer than the quote lives
	if r.c.now().Add(2 * time.Second).After(off.quote.Expires) {
		if off, err = r.meant(ctx, req, off); err != nil {
			return err
		}
	}
	return r.propose(ctx, req, &off, ch)
}

// meant asks the chosen provider again: now it holds the devices while they are paid for. Errors: the provider's;
// quote-expired if it asks more than before, so that others are compared anew.
func (r *orderRun) meant(ctx context.Context, req *Request, off offered) (offered, error) {
	again := off
	var err error
	if r.c.now().Add(quoteWait).After(off.order.ValidUntil) {
		again, err = r.c.quoteInTurn(ctx, req, off.provider, off.reach)
	}
	if err == nil {
		again, err = r.c.quoteAgain(ctx, again)
	}
	if err != nil {
		return off, fmt.Errorf("ask for a fresh quote: %w", err)
	}
	if again.quote.Rate > off.quote.Rate || again.quote.Payout != off.quote.Payout {
		return off, market.Refuse(market.CodeQuoteExpired, market.KindExpired, "the provider asks for other terms now")
	}
	return again, nil
}

// maxAttempts is how many leases an order survives that were refused for their channel.
const maxAttempts = 3

// avoid gives up a reused channel that its provider does not take, so that the next attempt opens a new one.
func (c *Customer) avoid(id market.ChannelID, code market.Code) bool {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil || (code != market.CodeChannelUnfit && code != market.CodeChannelTooSmall &&
		code != market.CodeChannelUnknown) {
		return false
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.avoid = true
	return len(ch.row.Account.Leases) > 1 // others used it, too: not a fault of the order
}

// nextQuote tells refusals that another provider may not share.
func nextQuote(code market.Code) bool {
	switch code {
	case market.CodeQuoteUnknown, market.CodeQuoteExpired, market.CodeDevicesTaken, market.CodeDraining,
		market.CodeUnhealthy, market.CodeBusy,
		market.CodeChainUnreachable, market.CodeRateLimited, market.CodeTooLate:
		return true
	}
	return false
}

// again reports whether the order searches on after a lease that never began: refused for a reason that may pass or
// that another provider may not share, or without an answer in time. Nothing is owed for it.
func (r *orderRun) again(ctx context.Context, m market.Lease) bool {
	o := r.snapshot()
	if r.stopped() {
		return false
	}
	switch {
	case m.State == market.Lapsed && r.c.now().Before(r.until):
		sctx, cancel := context.WithTimeout(ctx, quoteWait)
		defer cancel()
		// it may have accepted, and its answer be lost
		if err := r.act(sctx, m, market.SendStop{Code: market.CodeNeverUsed}); err != nil {
			r.c.log.Debug("Lease that lapsed was not stopped", "lease", m.ID, "error", err)
		}
		r.shun(o.Provider, market.Refuse(market.CodeBusy, market.KindUnavailable, "the lease was not answered"))
		return true
	case m.State != market.Refused:
		return false
	case nextQuote(m.Code) && r.c.now().Before(r.until):
		r.shun(o.Provider, market.Refuse(m.Code, market.KindUnavailable, m.Detail))
		return true
	}
	return o.Attempts < maxAttempts && r.c.avoid(o.Channel, m.Code)
}
