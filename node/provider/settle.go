package provider

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// settler keeps the books at what the chain says, and settles what the policy asks for.
type settler struct {
	*common
	ledger   escrow.Ledger
	books    *releases
	desk     *desk
	sessions *sessions
	due      chan struct{}

	mu    sync.Mutex
	waits Waits
}

func newSettler(c *common, ledger escrow.Ledger, b *releases, d *desk, s *sessions) *settler {
	return &settler{common: c, ledger: ledger, books: b, desk: d, sessions: s, due: make(chan struct{}, 1)}
}

// settleFee is what a claim costs (two signatures).
const settleFee = 2 * market.Amount(escrow.FeePerSignature)

func (s *settler) soon() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// follow has the chain read once a transaction of this node has come to its end.
func (s *settler) follow(ctx context.Context) {
	_ = s.ledger.Watch(ctx, func(u escrow.Update) error { // it ends with ctx
		if u.Result.State.Ended() {
			s.soon()
		}
		return nil
	})
}

// serve keeps accounts at what the chain says and settles what the policy asks for.
func (s *settler) serve(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.follow(ctx) })
	seen, failing := s.now(), false
	for ctx.Err() == nil {
		age, err := s.readChain(ctx)
		if err == nil {
			seen = s.now().Add(-age)
		} else if !failing && ctx.Err() == nil {
			// once per outage
			s.log.Warn("Chain is not read", "code", cmp.Or(market.CodeOf(err), market.CodeChainUnreachable), "error",
				err)
		}
		failing = err != nil
		s.tellBlind(ctx, s.now().Sub(seen) > s.blindAfter())
		t := time.NewTimer(s.cfg.Dues.ChainEvery)
		select {
		case <-ctx.Done():
		case <-s.due:
		case <-t.C:
		}
		t.Stop()
	}
}

// readChain takes the finalised view; age is since when it did not advance: an endpoint that answers may have stopped
// to follow.
func (s *settler) readChain(ctx context.Context) (age time.Duration, err error) {
	head, err := s.ledger.Head(ctx)
	if err != nil {
		return 0, err
	}
	bal, err := s.ledger.Balance(ctx, s.cfg.FeePayer)
	if err != nil {
		return 0, err
	}
	payout, err := s.ledger.Balance(ctx, s.cfg.Payout)
	if err != nil {
		return 0, err
	}
	rentMin := market.Amount(128 * head.RentPerByte) // of a plain account without data
	account := escrow.Payout{Balance: payout, Minimum: rentMin}
	s.books.funds(rentMin, bal)
	list := s.books.all()
	ids := make([]market.ChannelID, len(list))
	for i, ch := range list {
		ids[i] = ch.id
	}
	for n := 0; n < len(ids); n += 100 {
		end := min(n+100, len(ids))
		states, err := s.ledger.Channels(ctx, ids[n:end], escrow.Finalised)
		if err != nil {
			return 0, err
		}
		for i, cs := range states {
			s.chainSaw(ctx, list[n+i], cs, head, account)
		}
	}
	s.payDue(ctx, list, account)
	s.books.leave(ctx, list)
	return head.FinalisedAge, nil
}

// finalClock is the chain's clock of a finalised view, at the latest: a Release that has expired by the newest clock
// may have been used in a slot that is not final yet. A slot takes less than a second.
func finalClock(head escrow.Head, cs escrow.ChannelState) int64 {
	return head.Clock.Unix() - int64(head.Slot-min(cs.Slot, head.Slot))
}

func (s *settler) chainSaw(ctx context.Context, ch *channel, cs escrow.ChannelState, head escrow.Head,
	payout escrow.Payout) {
	before, after := s.observe(ctx, ch, cs, head)
	dec := s.dueOf(ctx, ch, head, payout)
	account, _ := ch.See()
	if after == escrow.PhaseSealed && account.Settled >= account.OwedSum() {
		s.paidOnChain(ctx, ch.id)
	}
	// whatever of it was missed
	over := after == escrow.PhaseClosing || after == escrow.PhaseSealed || after == escrow.PhaseGone
	for _, l := range s.desk.ofChannel(ch.id) {
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
		s.log.Info("Channel changed", "channel", ch.id, "from", before, "to", after)
	}
	s.settleBy(ctx, ch, dec)
	s.sealAlone(ctx, ch, cs, head)
}

// observe takes what the chain shows of a channel into its books, and stores what is new. What is not stored now is
// seen again at the next start.
func (s *settler) observe(ctx context.Context, ch *channel, cs escrow.ChannelState, head escrow.Head) (before,
	after escrow.Phase) {
	news := false
	ch.Note(func(e *entry) {
		was := e.Account
		e.Account = was.Observe(cs, escrow.Finalised, finalClock(head, cs))
		if e.Account.Settled >= e.Account.Newest.Amount {
			e.Own.OldestUnclaimed = time.Time{}
		}
		before, after = was.Phase, e.Account.Phase
		e.Own.Sealed = e.Own.Sealed || after == escrow.PhaseSealed
		news = before != after || was.Settled != e.Account.Settled
	})
	if !news {
		return before, after
	}
	err := s.books.keep(context.WithoutCancel(ctx), ch, func(e *entry) error {
		if before != after {
			e.Event(s.phaseEvent(ch.id, e.Account))
		}
		return nil
	})
	if err != nil {
		s.log.Warn("Change of a channel was not stored", "channel", ch.id, "error", err)
	}
	return before, after
}

// dueOf decides what to settle of a channel.
func (s *settler) dueOf(ctx context.Context, ch *channel, head escrow.Head, payout escrow.Payout) escrow.Decision {
	books, row := ch.See()
	ch.mu.Lock()
	if res, ok, err := s.ledger.Result(ctx, ch.askedKey); err == nil && (!ok || res.State == escrow.Failed) {
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
func (s *settler) paidOnChain(ctx context.Context, id market.ChannelID) {
	for _, lease := range s.books.debts.leases() {
		l := s.desk.find(lease)
		if l == nil || l.channel != id {
			continue
		}
		m := l.actor.Lease()
		err := l.tell(ctx, market.PaymentStored{LeaseAmount: m.Owed(), ReceiptSeq: m.ReceiptSeq})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("Debt was not cleared", "lease", l.id, "error", err) // the next read tries again
		}
	}
}

// blindAfter is how old the view of the chain may be before work stops: what a close that we do not see would need,
// less a margin.
func (s *settler) blindAfter() time.Duration {
	delay := s.cfg.Dues.MinCloseDelay
	return delay - max(15*time.Minute, delay/4)
}

// tellBlind says to all live leases whether the chain is seen; both are level events, repeated at each look.
func (s *settler) tellBlind(ctx context.Context, blind bool) {
	for _, l := range s.desk.live() {
		var ev market.Event = market.ChainSeen{}
		if blind {
			ev = market.ChainBlind{}
		}
		_ = l.actor.Send(ctx, ev) // the next look says it again
	}
}

// settleBy submits what the policy decided; the intent's key makes a repeat free.
func (s *settler) settleBy(ctx context.Context, ch *channel, d escrow.Decision) {
	in := escrow.Intent{Channel: ch.id, Nonce: uint64(d.Voucher.Amount), Amount: d.Voucher.Amount, Voucher: &d.Voucher}
	switch d.Act {
	case escrow.ActClaim:
		in.Op = escrow.OpClaim
	case escrow.ActRecord:
		in.Op = escrow.OpRecord
	default:
		return
	}
	if err := s.ledger.Submit(ctx, in); err != nil {
		if ctx.Err() == nil {
			s.log.Warn("Settlement was not submitted", "channel", ch.id, "why", d.Why, "error", err)
		}
		return
	}
	ch.mu.Lock()
	ch.asked, ch.askedKey = d.Voucher.Amount, in.Key()
	ch.mu.Unlock()
}

// phaseEvent tells a channel of which the chain shows another phase.
func (s *settler) phaseEvent(id market.ChannelID, a escrow.Account) store.Event {
	return store.Event{
		At: s.now(), Topic: "channel", ID: id.String(), Role: "provider", Cause: a.Phase.String(), Money: true,
		Amounts: map[string]market.Amount{"owed": a.OwedSum(), "settled": a.Settled},
	}
}
