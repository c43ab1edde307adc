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
func (p *Provider) owe(_ context.Context, l *leaseRun, owed market.Amount) error {
	ch, err := p.channelByID(l.channel)
	if err != nil {
		return nil // at accept the channel is entered right after
	}
	ch.mu.Lock()
	ch.row.Account = ch.row.Account.Owe(l.id, owed)
	ch.mu.Unlock()
	return nil
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
	ch.mu.Lock()
	live := ch.row.Account.Live()
	ch.mu.Unlock()
	if live > 0 {
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
	ch.mu.Lock()
	defer ch.mu.Unlock()
	crow := ch.row
	crow.Account, crow.LastEnd = crow.Account.EndLease(l.id, m.Owed()), p.now()
	if err := p.keepRow(ctx, ch, crow); err != nil {
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
	ch.mu.Lock()
	before, had := ch.row.Account.Phase, ch.row.Account.Settled
	ch.row.Account = ch.row.Account.Observe(cs, escrow.Finalised, finalClock(head, cs))
	account := ch.row.Account
	after := account.Phase
	if after != before || account.Settled != had {
		p.chainChanged(ctx, ch, after != before)
	}
	if account.Settled >= account.Newest.Amount {
		ch.row.OldestUnclaimed = time.Time{}
	}
	if res, ok, err := p.ledger.Result(ctx, ch.askedKey); err == nil && (!ok || res.State == escrow.Failed) {
		ch.asked = 0 // it brings nothing
	}
	books := ch.row.Account
	// the final view shows it half a minute later, and each claim costs its fee
	books.Settled = max(books.Settled, ch.asked)
	due, _ := books.Redeemable(ch.row.TickPrice)
	dec := escrow.Decide(&books, escrow.Settle{
		Now: head.Clock, Cost: settleFee, Hourly: ch.row.Hourly, Tick: ch.row.TickPrice,
		MaxUnclaimed:    escrow.DefaultMaxUnclaimed,
		PayeeReceives:   payout.Receives(max(due.Amount, books.Settled) - books.SentToPay),
		OldestUnclaimed: ch.row.OldestUnclaimed, LastEnded: ch.row.lastEnded(),
	})
	ch.mu.Unlock()
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
			_ = l.actor.Send(ctx, market.HeadroomSeen{Left: left(account, l.id)}) // the next read says it again
		}
	}
	if after != before {
		p.log.Info("Channel changed", "channel", ch.id, "from", before, "to", after)
	}
	p.settleBy(ctx, ch, dec)
	p.sealAlone(ctx, ch, cs, head)
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
		if err == nil {
			err = p.settleDebt(ctx, l)
		}
		if err != nil && ctx.Err() == nil {
			p.log.Warn("Debt was not cleared", "lease", l.id, "error", err) // the next read tries again
		}
	}
}

// left is what the deposit leaves to one lease beyond what it owes: the others keep what they used.
func left(a escrow.Account, id market.LeaseID) market.Amount {
	var taken market.Amount
	for other, s := range a.Leases {
		if other == id {
			taken += s.Owed
		} else {
			taken += max(s.Owed, s.Paid)
		}
	}
	return a.Deposit - min(taken, a.Deposit)
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
