package customer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer/purse"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
)

// choose keeps the quote that the order goes on with; quotes are not stored.
func (pl *placing) choose(o *offered) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.offer = o
}

// stands drops what the order's state does not need any more.
func (pl *placing) stands(p market.Purchase) {
	if p.Stage == market.StageFunding || p.Stage == market.StageProposing {
		return
	}
	pl.mu.Lock()
	held := pl.held
	pl.held = nil
	pl.mu.Unlock()
	if held != nil {
		held.Drop(p.ID)
	}
}

func (pl *placing) chosen() (offered, error) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.offer == nil {
		return offered{}, market.Refuse(market.CodeQuoteExpired, market.KindExpired, "the quote is not known any more")
	}
	return *pl.offer, nil
}

// makeChannel has the chosen provider hold its devices, and a channel to it that carries the lease.
func (pl *placing) makeChannel(ctx context.Context, e market.MakeChannel) {
	req := pl.r.snapshot().wish()
	off, err := pl.chosen()
	if err == nil {
		off, err = pl.meant(ctx, &req, off)
	}
	var ch *purse.Channel
	if err == nil {
		say := func(phase, detail string) { pl.r.say(ctx, phase, detail) }
		ch, err = pl.r.c.Fund(ctx, wantOf(pl.r.snapshot().ID, &req, &off), say)
	}
	if ctx.Err() != nil && err != nil {
		return
	}
	if err != nil {
		pl.notTaken(ctx, e.Round, off.provider, err)
		return
	}
	pl.choose(&off)
	deposit := ch.Account().Seen
	pl.mu.Lock()
	pl.held = ch
	pl.mu.Unlock()
	pl.r.happens(ctx, market.ChannelReady{Round: e.Round, Channel: ch.ID(), Deposit: deposit}, nil)
}

// notTaken tells the purchase what kept a chosen quote from becoming a lease; a provider that may think better of it is
// left alone for a while.
func (pl *placing) notTaken(ctx context.Context, round uint32, provider market.NodeID, err error) {
	code := market.CodeOf(err)
	no := market.NoChannel{Round: round, Why: reasonOf(err), Passes: waitsFor(err) > 0 &&
		code != market.CodeTransactionPending,
		// our own word: it was released, or its close asked for, since it was chosen
		Unfit: code == market.CodeChannelUnfit}
	if no.Passes && !no.Unfit {
		pl.shun(provider, err)
	}
	pl.r.happens(ctx, no, nil)
}

// signLease signs the lease for the channel that is ready, and stores it: its machine sends it.
func (pl *placing) signLease(ctx context.Context, e market.SignLease) {
	req := pl.r.snapshot().wish()
	off, err := pl.chosen()
	// the chain, or the line before it, took longer than the quote lives
	if err == nil && pl.r.c.now().Add(2*time.Second).After(off.quote.Expires) {
		off, err = pl.meant(ctx, &req, off)
	}
	ch := pl.r.c.Of(e.Channel)
	if err == nil && ch == nil {
		err = market.Refuse(market.CodeChannelUnfit, market.KindConflict, "it is not there any more")
	}
	if err == nil {
		err = pl.propose(ctx, &req, &off, ch, e.Round)
	}
	if err != nil && ctx.Err() == nil {
		pl.notTaken(ctx, e.Round, off.provider, err)
	}
}

// propose signs the Lease and stores it.
func (pl *placing) propose(ctx context.Context, req *Request, off *offered, ch *purse.Channel, round uint32) error {
	now := pl.r.c.now()
	sp, err := req.File.Spec().Encode()
	if err != nil {
		return &market.Error{Code: market.CodeSpecSize, Kind: market.KindInvalid, Op: "encode job", Err: err,
			Hint: "shorten command and env"}
	}
	p := market.Proposal{
		Order: off.orderRaw, Quote: off.quoteRaw, Channel: ch.ID(), VoucherKey: ch.Row().Terms.VoucherKey,
		BindSig: ch.Bind(pl.r.c.cfg.ID), Cap: leaseCap(req, off), Spec: sp,
		Created: now.Truncate(time.Millisecond), AcceptUntil: now.Add(acceptWithin).Truncate(time.Millisecond),
	}
	h := sha256.Sum256(append(off.quoteRaw, p.Channel[:]...))
	copy(p.Nonce[:], h[:])
	raw, err := wire.SealProposal(pl.r.c.cfg.Key, pl.r.c.cfg.Network, p)
	if err != nil {
		return fmt.Errorf("seal lease: %w", err)
	}
	env, err := wire.Open(raw, pl.r.c.cfg.Network)
	if err != nil {
		return fmt.Errorf("open own lease: %w", err)
	}
	id := market.LeaseID(env.ID)
	m, err := market.NewLease(id, market.CustomerSide, pl.r.c.terms(req, off, p, ch.Account().Ahead()))
	if err != nil {
		return err
	}
	if m, _, err = m.Apply(market.Placed{}, now); err != nil {
		return err
	}
	return pl.enterLease(ctx, ch, market.LeaseSigned{Round: round, Lease: id}, p.Cap, off.quote.MinHeadroom,
		func(o *orderRow) { o.Raw, o.Lease, o.BootID = raw, &m, pl.r.c.clock.BootID() })
}

// enterLease enters the lease's share of the channel and makes it the order's, in one Change.
func (pl *placing) enterLease(ctx context.Context, ch *purse.Channel, ev market.LeaseSigned, limit,
	headroom market.Amount,
	change func(*orderRow)) error {
	var wrong error
	var v version
	err := ch.AddLease(ctx, ev.Lease, limit, headroom, func() (add func(*store.Change), err error) {
		add, now := pl.r.change(pl.r.step(ev, change, &wrong))
		if wrong == nil {
			v = now
		}
		return add, wrong
	})
	if wrong == nil {
		if err = pl.r.ended(v, err); err != nil {
			return err
		}
	}
	return pl.r.applied(ctx, ev, wrong)
}

// meant asks the chosen provider again: now it holds the devices while they are paid for. Errors: the provider's;
// quote-expired if it asks more than before, so that others are compared anew.
func (pl *placing) meant(ctx context.Context, req *Request, off offered) (offered, error) {
	again := off
	var err error
	if pl.r.c.now().Add(quoteWait).After(off.order.ValidUntil) {
		again, err = pl.r.c.Quotes.inTurn(ctx, req, off.provider, off.reach)
	}
	if err == nil {
		again, err = pl.r.c.Quotes.again(ctx, again)
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
	ch := c.Of(id)
	if ch == nil || (code != market.CodeChannelUnfit && code != market.CodeChannelTooSmall &&
		code != market.CodeChannelUnknown) {
		return false
	}
	ch.Avoid()
	a := ch.Account()
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
func (pl *placing) verdictOn(ctx context.Context, m market.Lease) (passes, unfit bool) {
	o := pl.r.snapshot()
	switch {
	case m.State == market.Lapsed:
		// it may be deciding still, or have accepted, and its answer be lost
		within := quoteWait
		if o.Stopping() { // nobody else waits: as long as it may still be accepted
			within = max(within, m.Terms.AcceptUntil.Sub(pl.r.c.now()))
		}
		if err := pl.r.hire.awaitStop(ctx, m.ID, within); err != nil {
			pl.r.c.log.Debug("Lease that lapsed was not stopped", "lease", m.ID, "error", err)
		}
		if o.Stopping() {
			return false, false
		}
		pl.shun(o.Provider, market.Refuse(market.CodeBusy, market.KindUnavailable, "the lease was not answered"))
		return true, false
	case m.State == market.Refused && nextQuote(m.Code):
		pl.shun(o.Provider, market.Refuse(m.Code, market.KindUnavailable, m.Detail))
		return true, false
	case m.State == market.Refused:
		return false, pl.r.c.avoid(o.Channel, m.Code)
	}
	return false, false
}
