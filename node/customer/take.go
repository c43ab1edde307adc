package customer

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
)

// choose keeps the quote that the order goes on with; quotes are not stored.
func (r *orderRun) choose(o *offered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offer = o
}

func (r *orderRun) chosen() (offered, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.offer == nil {
		return offered{}, market.Refuse(market.CodeQuoteExpired, market.KindExpired, "the quote is not known any more")
	}
	return *r.offer, nil
}

// makeChannel has the chosen provider hold its devices, and a channel to it that carries the lease.
func (r *orderRun) makeChannel(ctx context.Context, e market.MakeChannel) {
	req := r.wish()
	off, err := r.chosen()
	if err == nil {
		off, err = r.meant(ctx, &req, off)
	}
	var ch *channel
	if err == nil {
		ch, err = r.funded(ctx, &req, &off)
	}
	if ctx.Err() != nil && err != nil {
		return
	}
	if err != nil {
		r.notTaken(ctx, e.Round, off.provider, err)
		return
	}
	r.choose(&off)
	deposit := ch.account().Seen
	r.mu.Lock()
	r.held = ch
	r.mu.Unlock()
	r.happens(ctx, market.ChannelReady{Round: e.Round, Channel: ch.id, Deposit: deposit}, nil)
}

// notTaken tells the purchase what kept a chosen quote from becoming a lease; a provider that may think better of it is
// left alone for a while.
func (r *orderRun) notTaken(ctx context.Context, round uint32, provider market.NodeID, err error) {
	code := market.CodeOf(err)
	no := market.NoChannel{Round: round, Why: reasonOf(err), Passes: waitsFor(err) > 0 &&
		code != market.CodeTransactionPending,
		// our own word: it was released, or its close asked for, since it was chosen
		Unfit: code == market.CodeChannelUnfit}
	if no.Passes && !no.Unfit {
		r.shun(provider, err)
	}
	r.happens(ctx, no, nil)
}

// signLease signs the lease for the channel that is ready, and stores it: its machine sends it.
func (r *orderRun) signLease(ctx context.Context, e market.SignLease) {
	req := r.wish()
	off, err := r.chosen()
	// the chain, or the line before it, took longer than the quote lives
	if err == nil && r.c.now().Add(2*time.Second).After(off.quote.Expires) {
		off, err = r.meant(ctx, &req, off)
	}
	ch := r.c.channelOf(e.Channel)
	if err == nil && ch == nil {
		err = market.Refuse(market.CodeChannelUnfit, market.KindConflict, "it is not there any more")
	}
	if err == nil {
		err = r.propose(ctx, &req, &off, ch, e.Round)
	}
	if err != nil && ctx.Err() == nil {
		r.notTaken(ctx, e.Round, off.provider, err)
	}
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

// avoid gives up a reused channel that its provider does not take, so that the next attempt opens a new one.
func (c *Customer) avoid(id market.ChannelID, code market.Code) bool {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil || (code != market.CodeChannelUnfit && code != market.CodeChannelTooSmall &&
		code != market.CodeChannelUnknown) {
		return false
	}
	a := ch.account()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.avoid = true
	return a.Past.Leases+len(a.Leases) > 1 // others used it, too: not a fault of the order
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

// verdictOn says whether an order may search on after a lease that never began: refused for a reason that may pass or
// that another provider may not share, for its channel, or without an answer in time. Nothing is owed for it.
func (r *orderRun) verdictOn(ctx context.Context, m market.Lease) (passes, unfit bool) {
	o := r.snapshot()
	switch {
	case m.State == market.Lapsed:
		sctx, cancel := context.WithTimeout(ctx, quoteWait)
		defer cancel()
		// it may be deciding still, or have accepted, and its answer be lost
		if err := r.act(sctx, m, market.SendStop{Code: market.CodeNeverUsed}); err != nil {
			r.c.log.Debug("Lease that lapsed was not stopped", "lease", m.ID, "error", err)
		}
		if o.Stopping() {
			return false, false
		}
		r.shun(o.Provider, market.Refuse(market.CodeBusy, market.KindUnavailable, "the lease was not answered"))
		return true, false
	case m.State == market.Refused && nextQuote(m.Code):
		r.shun(o.Provider, market.Refuse(m.Code, market.KindUnavailable, m.Detail))
		return true, false
	case m.State == market.Refused:
		return false, r.c.avoid(o.Channel, m.Code)
	}
	return false, false
}
