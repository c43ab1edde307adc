package provider

import (
	"cmp"
	"context"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/streams"
)

// settleFee is what a claim costs (two signatures).
const settleFee = 2 * market.Amount(escrow.FeePerSignature)

// owe keeps the channel's account at what this lease has metered; it is stored with the next payment or end, the lease
// row has it too.
func (p *Provider) owe(l *leaseRun, owed market.Amount) {
	ch, err := p.channelByID(l.channel)
	if err != nil {
		return // at accept the channel is entered right after
	}
	ch.Note(func(e *entry) { e.Account = e.Account.Owe(l.id, owed) })
}

// endShare makes the lease's share final and, with no other live lease, signs and pushes the Release.
func (p *Provider) endShare(ctx context.Context, l *leaseRun) error {
	if err := p.finalShare(ctx, l); err != nil {
		return err
	}
	ch, err := p.channelByID(l.channel)
	if err != nil {
		return err
	}
	if a, _ := ch.See(); a.Live() > 0 {
		return nil
	}
	rel, err := p.release(ctx, ch)
	if err != nil {
		return err
	}
	p.pushTo(l.customer, streams.VoucherPush{Release: &streams.ReleasePush{Channel: ch.id, Bytes: rel}})
	return nil
}

// finalShare ends the lease's share at what is owed, and remembers a payer who has paid.
func (p *Provider) finalShare(ctx context.Context, l *leaseRun) error {
	ch, err := p.channelByID(l.channel)
	if err != nil {
		return err
	}
	m := l.actor.Lease()
	err = p.keep(ctx, ch, func(e *entry) error {
		if share, ok := e.Account.Leases[l.id]; ok && (share.Live || share.Owed != min(m.Owed(), share.Cap)) {
			e.Account, e.Own.LastEnd = e.Account.EndLease(l.id, m.Owed()), p.now()
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.Learn(l.customer, l.order.Payer, m)
	return nil
}

func (p *Provider) settleSoon() {
	select {
	case p.settle <- struct{}{}:
	default:
	}
}

// chainLoop keeps accounts at what the chain says and settles what the policy asks for.
func (p *Provider) chainLoop(ctx context.Context) {
	seen, failing := p.now(), false
	for ctx.Err() == nil {
		age, err := p.readChain(ctx)
		if err == nil {
			seen = p.now().Add(-age)
		} else if !failing && ctx.Err() == nil {
			// once per outage
			p.log.Warn("Chain is not read", "code", cmp.Or(market.CodeOf(err), market.CodeChainUnreachable), "error",
				err)
		}
		failing = err != nil
		p.tellBlind(ctx, p.now().Sub(seen) > p.blindAfter())
		t := time.NewTimer(p.cfg.ChainEvery)
		select {
		case <-ctx.Done():
		case <-p.settle:
		case <-t.C:
		}
		t.Stop()
	}
}

// readChain takes the finalised view; age is since when it did not advance: an endpoint that answers may have stopped
// to follow.
func (p *Provider) readChain(ctx context.Context) (age time.Duration, err error) {
	head, err := p.ledger.Head(ctx)
	if err != nil {
		return 0, err
	}
	bal, err := p.ledger.Balance(ctx, p.cfg.FeePayer)
	if err != nil {
		return 0, err
	}
	payout, err := p.ledger.Balance(ctx, p.cfg.Payout)
	if err != nil {
		return 0, err
	}
	rentMin := market.Amount(128 * head.RentPerByte) // of a plain account without data
	account := escrow.Payout{Balance: payout, Minimum: rentMin}
	p.mu.Lock()
	p.rentMin, p.feeBal = rentMin, bal
	var list []*channel
	var ids []market.ChannelID
	for id, ch := range p.channels {
		list, ids = append(list, ch), append(ids, id)
	}
	p.mu.Unlock()
	for n := 0; n < len(ids); n += 100 {
		end := min(n+100, len(ids))
		states, err := p.ledger.Channels(ctx, ids[n:end], escrow.Finalised)
		if err != nil {
			return 0, err
		}
		for i, cs := range states {
			p.chainSaw(ctx, list[n+i], cs, head, account)
		}
	}
	p.payDue(ctx, list, account)
	return head.FinalisedAge, nil
}

// finalClock is the chain's clock of a finalised view, at the latest: a Release that has expired by the newest clock
// may have been used in a slot that is not final yet. A slot takes less than a second.
func finalClock(head escrow.Head, cs escrow.ChannelState) int64 {
	return head.Clock.Unix() - int64(head.Slot-min(cs.Slot, head.Slot))
}

func (p *Provider) chainSaw(ctx context.Context, ch *channel, cs escrow.ChannelState, head escrow.Head,
	payout escrow.Payout) {
	before, after := p.observe(ctx, ch, cs, head)
	dec := p.dueOf(ctx, ch, head, payout)
	account, _ := ch.See()
	if after == escrow.PhaseSealed && account.Settled >= account.OwedSum() {
		p.paidOnChain(ctx, ch.id)
	}
	// whatever of it was missed
	over := after == escrow.PhaseClosing || after == escrow.PhaseSealed || after == escrow.PhaseGone
	for _, l := range p.leasesOf(ch.id) {
		live := l.actor.Lease().State.Live()
		// a live one is told until it ends: this node may have died before it was heard
		if over && (live || after != before) {
			_ = l.actor.Send(ctx, market.ChainClosing{}) // an ended one does not take it
			continue
		}
		if live {
			_ = l.actor.Send(ctx, market.HeadroomSeen{Left: account.Left(l.id)}) // the next read says it again
		}
	}
	if after != before {
		p.log.Info("Channel changed", "channel", ch.id, "from", before, "to", after)
	}
	p.settleBy(ctx, ch, dec)
	p.sealAlone(ctx, ch, cs, head)
}

// observe takes what the chain shows of a channel into its books, and stores what is new. What is not stored now is
// seen again at the next start.
func (p *Provider) observe(ctx context.Context, ch *channel, cs escrow.ChannelState, head escrow.Head) (before,
	after escrow.Phase) {
	news := false
	ch.Note(func(e *entry) {
		was := e.Account
		e.Account = was.Observe(cs, escrow.Finalised, finalClock(head, cs))
		if e.Account.Settled >= e.Account.Newest.Amount {
			e.Own.OldestUnclaimed = time.Time{}
		}
		before, after = was.Phase, e.Account.Phase
		news = before != after || was.Settled != e.Account.Settled
	})
	if !news {
		return before, after
	}
	err := p.keep(context.WithoutCancel(ctx), ch, func(e *entry) error {
		if before != after {
			e.Event(p.phaseEvent(ch.id, e.Account))
		}
		return nil
	})
	if err != nil {
		p.log.Warn("Change of a channel was not stored", "channel", ch.id, "error", err)
	}
	return before, after
}

// dueOf decides what to settle of a channel.
func (p *Provider) dueOf(ctx context.Context, ch *channel, head escrow.Head, payout escrow.Payout) escrow.Decision {
	books, row := ch.See()
	ch.mu.Lock()
	if res, ok, err := p.ledger.Result(ctx, ch.askedKey); err == nil && (!ok || res.State == escrow.Failed) {
		ch.asked = 0 // it brings nothing
	}
	// the final view shows it half a minute later, and each claim costs its fee
	books.Settled = max(books.Settled, ch.asked)
	ch.mu.Unlock()
	due, _ := books.Redeemable(row.TickPrice)
	return escrow.Decide(&books, escrow.Settle{
		Now: head.Clock, Cost: settleFee, Hourly: row.Hourly, Tick: row.TickPrice,
		MaxUnclaimed:    escrow.DefaultMaxUnclaimed,
		PayeeReceives:   payout.Receives(max(due.Amount, books.Settled) - books.SentToPay),
		OldestUnclaimed: row.OldestUnclaimed, LastEnded: lastEnded(books, row),
	})
}

// paidOnChain clears what leases of a finished channel left unpaid: it was closed at all that they owe.
func (p *Provider) paidOnChain(ctx context.Context, id market.ChannelID) {
	p.mu.Lock()
	var debtors []*leaseRun
	for lease := range p.debts {
		if l := p.leases[lease]; l != nil && l.channel == id {
			debtors = append(debtors, l)
		}
	}
	p.mu.Unlock()
	for _, l := range debtors {
		m := l.actor.Lease()
		err := l.tell(ctx, market.PaymentStored{LeaseAmount: m.Owed(), ReceiptSeq: m.ReceiptSeq})
		if err != nil && ctx.Err() == nil {
			p.log.Warn("Debt was not cleared", "lease", l.id, "error", err) // the next read tries again
		}
	}
}

// leasesOf lists the channel's leases that are not over.
func (p *Provider) leasesOf(id market.ChannelID) (out []*leaseRun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.leases {
		if l.channel == id && !l.actor.Lease().Terminal() {
			out = append(out, l)
		}
	}
	return out
}

// blindAfter is how old the view of the chain may be before work stops: what a close that we do not see would need,
// less a margin.
func (p *Provider) blindAfter() time.Duration {
	delay := p.cfg.MinCloseDelay
	return delay - max(15*time.Minute, delay/4)
}

// tellBlind says to all live leases whether the chain is seen; both are level events, repeated at each look.
func (p *Provider) tellBlind(ctx context.Context, blind bool) {
	p.mu.Lock()
	var live []*leaseRun
	for _, l := range p.leases {
		if l.actor.Lease().State.Live() {
			live = append(live, l)
		}
	}
	p.mu.Unlock()
	for _, l := range live {
		var ev market.Event = market.ChainSeen{}
		if blind {
			ev = market.ChainBlind{}
		}
		_ = l.actor.Send(ctx, ev) // the next look says it again
	}
}

// settleBy submits what the policy decided; the intent's key makes a repeat free.
func (p *Provider) settleBy(ctx context.Context, ch *channel, d escrow.Decision) {
	in := escrow.Intent{Channel: ch.id, Nonce: uint64(d.Voucher.Amount), Amount: d.Voucher.Amount, Voucher: &d.Voucher}
	switch d.Act {
	case escrow.ActClaim:
		in.Op = escrow.OpClaim
	case escrow.ActRecord:
		in.Op = escrow.OpRecord
	default:
		return
	}
	if err := p.ledger.Submit(ctx, in); err != nil {
		if ctx.Err() == nil {
			p.log.Warn("Settlement was not submitted", "channel", ch.id, "why", d.Why, "error", err)
		}
		return
	}
	ch.mu.Lock()
	ch.asked, ch.askedKey = d.Voucher.Amount, in.Key()
	ch.mu.Unlock()
}
