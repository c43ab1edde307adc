package purse

import (
	"context"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// keeper does what the payer's policy says about a channel at each look, and what its user says.
type keeper struct {
	*books
	desks *funder
	wg    sync.WaitGroup
}

// seen tells the orders of a channel that was just read, and does what the payer's policy says about it.
func (k *keeper) seen(ctx context.Context, ch *Channel, head escrow.Head, absent bool) {
	a, row := ch.book.See()
	k.orders.Funds(ctx, ch.id, a)
	k.settled(ctx, ch, false)
	k.judge(ctx, ch)
	n := k.needs(ch, &a, &row)
	n.Clock, n.Slot, n.Absent = head.Clock, head.Slot, absent
	now := k.now()
	d := escrow.DecidePayer(&a, n, now)
	if d.Until.After(now) {
		ch.mu.Lock()
		ch.until = d.Until
		ch.mu.Unlock()
	}
	if d.Act == escrow.PayerWait || !ch.busy.CompareAndSwap(false, true) {
		return
	}
	k.wg.Go(func() { // neither a provider nor a disk holds up the others' looks
		k.log.Debug("Channel step", "channel", ch.id, "act", d.Act, "why", d.Why)
		again := k.do(ctx, ch, d, head)
		ch.busy.Store(false)
		if again {
			k.look(ch)
		}
	})
}

// settled tells the orders of a sealed channel what it paid, once in a start unless again; with its transaction, if
// that was ours.
func (k *keeper) settled(ctx context.Context, ch *Channel, again bool) {
	a, row := ch.book.See()
	if ended := a.Phase == escrow.PhaseSealed || again && a.Phase == escrow.PhaseGone; !ended ||
		ch.told.Load() && !again {
		return
	}
	if row.FinishKey != "" && row.FinishSig == "" {
		res, ok, err := k.ledger.Result(ctx, row.FinishKey)
		switch {
		case err == nil && ok && res.State < escrow.ConfirmedTx: // the ledger sees it soon
			return
		case err == nil && ok && res.Signature != "" && res.State != escrow.Failed:
			if row.FinishSig = res.Signature; ch.enter(ctx, func(e *entry) error {
				e.Own.FinishSig = res.Signature
				return nil
			}) != nil {
				return // tried again at the next look
			}
		}
	}
	k.orders.Settled(ctx, Settlement{Channel: ch.id, Paid: row.Paid, Returned: row.Returned, Owes: owes(a),
		Tx: row.FinishSig})
	ch.told.Store(true)
}

// judge notes that the transaction which is under way has failed.
func (k *keeper) judge(ctx context.Context, ch *Channel) {
	ch.mu.Lock()
	key := ch.pursuit.under
	ch.mu.Unlock()
	if key == "" {
		return
	}
	res, ok, err := k.ledger.Result(ctx, key)
	if err != nil || !ok || res.State != escrow.Failed {
		return
	}
	ch.mu.Lock()
	ch.pursuit.under = ""
	ch.mu.Unlock()
	k.log.Warn("Transaction of a channel has failed", "channel", ch.id, "intent", key, "error", res.Err)
	ch.fail(failedTx(res))
}

// needs says of a channel what the payer's policy asks, but for the chain's clock.
func (k *keeper) needs(ch *Channel, a *escrow.Account, row *Row) escrow.PayerNeeds {
	n := escrow.PayerNeeds{OpenSlot: row.Terms.OpenSlot, Release: row.Release, Hourly: k.orders.Hourly(ch.id),
		Close: row.Close}
	ch.mu.Lock()
	left := ch.pursuit.left
	ch.mu.Unlock()
	n.Wanted = k.Expected(ch.id) || !left && k.orders.Needs(ch.id, row.Provider, false)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	p := &ch.pursuit
	open := a.Phase == escrow.PhaseSeen || a.Phase == escrow.PhaseOpen || a.Phase == escrow.PhaseReleasing
	switch {
	case open && n.Wanted && n.Close.IsZero():
		p.free, p.asked = time.Time{}, 0
	case open && p.free.IsZero():
		p.free, p.asked = k.now(), 0
	}
	n.FreeSince = p.free
	if p.back.After(n.FreeSince) {
		n.FreeSince = p.back
	}
	n.Silent, n.Asked, n.AskedAt, n.FailedAt, n.PaidAt = p.silent, p.asked, p.askedAt, p.failedAt, p.paidAt
	return n
}

// do does what was decided about a channel; again: it is to be looked at once more.
func (k *keeper) do(ctx context.Context, ch *Channel, d escrow.PayerDecision, head escrow.Head) (again bool) {
	a := ch.Account()
	in := escrow.Intent{Channel: ch.id}
	switch d.Act {
	case escrow.PayerTopUp:
		in.Op, in.Nonce, in.Amount, in.Total = escrow.OpTopUp, uint64(d.Total-d.Amount), d.Amount, d.Total
	case escrow.PayerFinish:
		in.Op, in.Nonce = escrow.OpFinish, uint64(a.Deadline)
		if d.Release != nil {
			in.Nonce, in.Release = uint64(d.Release.Expires), d.Release
		}
		if err := ch.enter(ctx, func(e *entry) error {
			e.Own.FinishKey = in.Key()
			return nil
		}); err != nil {
			ch.fail(err)
			return true
		}
	case escrow.PayerRequestClose:
		if in.Op = escrow.OpRequestClose; !ch.shut() {
			return false
		}
	case escrow.PayerReclaim:
		in = reclaimOf(ch.id)
	case escrow.PayerAskRelease:
		k.ask(ctx, ch)
		return true
	case escrow.PayerPay:
		return k.payFirst(ctx, ch, head)
	case escrow.PayerForget:
		if err := k.forget(ctx, ch); err != nil {
			k.log.Error("Channel that was never opened was not forgotten", "channel", ch.id, "error", err)
		}
		return false
	}
	return k.begin(ctx, ch, in)
}

// shut keeps leases from beginning on a channel, in the order of entries; false: one lives on it.
func (ch *Channel) shut() (shut bool) {
	ch.book.Note(func(e *entry) {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		shut = e.Account.Live() == 0
		ch.avoid = ch.avoid || shut
	})
	return shut
}

// begin submits a transaction, once: what is under way is the ledger's.
func (k *keeper) begin(ctx context.Context, ch *Channel, in escrow.Intent) (again bool) {
	key := in.Key()
	ch.mu.Lock()
	under := ch.pursuit.under == key
	ch.mu.Unlock()
	if under {
		return false
	}
	if err := k.submit(ctx, ch, in, market.OrderID{}); err != nil {
		if ctx.Err() == nil {
			k.log.Warn("Channel step was not submitted", "channel", ch.id, "op", in.Op, "error", err)
			ch.fail(err)
		}
		return true
	}
	ch.mu.Lock()
	ch.pursuit.under = key
	ch.mu.Unlock()
	return true
}

// ask asks the provider once for its Release.
func (k *keeper) ask(ctx context.Context, ch *Channel) {
	actx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	provider := ch.Row().Provider
	b, err := k.orders.Release(actx, provider, ch.id)
	if err == nil {
		err = k.KeepRelease(actx, provider, ch.id, b)
	}
	if err != nil {
		k.log.Debug("Release was not given", "channel", ch.id, "error", err)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.pursuit.asked++
	ch.pursuit.askedAt = k.now()
}
