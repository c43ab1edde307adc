package purse

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// readAtOnce is how many channels one call reads.
const readAtOnce = 100

// reader is the only one who reads the chain for channels.
type reader struct {
	*books
	keeper *keeper
	heard  atomic.Int64 // when the ledger last answered: the node's clock in ns
}

// Serve keeps channels at what the chain says, tells their orders, and does what is due, until ctx ends. Own
// transactions wake it, new channels, and what was to be done at a time. While the chain can tell nothing it sleeps.
func (r *reader) Serve(ctx context.Context) {
	defer r.keeper.wg.Wait()
	r.keeper.wg.Go(func() { r.follow(ctx) })
	round := r.now().Add(r.cfg.Every)
	for ctx.Err() == nil {
		now := r.now()
		due, next := r.dueAt(now)
		open := r.open()
		if !now.Before(round) {
			due, round = looked(open), now.Add(r.cfg.Every)
		}
		watches := len(open)+len(due) > 0
		for len(due) > 0 { // what was not read is read in the next round
			n := min(len(due), readAtOnce)
			r.read(ctx, due[:n])
			due = due[n:]
		}
		if watches && (next.IsZero() || next.After(round)) {
			next = round
		}
		r.sleep(ctx, next)
	}
}

// sleep waits until a time, zero: for ever, or until it is woken.
func (r *reader) sleep(ctx context.Context, until time.Time) {
	var at <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(until.Sub(r.now()))
		defer t.Stop()
		at = t.C
	}
	select {
	case <-ctx.Done():
	case <-r.woken:
	case <-at:
	}
}

// follow looks at a channel when its newest transaction has come to something.
func (r *reader) follow(ctx context.Context) {
	_ = r.ledger.Watch(ctx, func(u escrow.Update) error { // it ends with ctx
		if u.Result.State.Ended() {
			r.orders.Spent(ctx, u.Intent)
		}
		if ch := r.Of(u.Channel); ch != nil && u.Result.State >= escrow.ConfirmedTx && ch.submitted() == u.Intent {
			r.look(ch)
		}
		return nil
	})
}

// open lists the channels of which the chain can still tell something.
func (r *reader) open() (out []*Channel) {
	for _, ch := range r.all() {
		if a, row := ch.book.See(); a.Phase != escrow.PhaseGone || row.Paid+row.Returned == 0 {
			out = append(out, ch)
		}
	}
	return out
}

// looked are channels that nobody has to ask for any more.
func looked(list []*Channel) []*Channel {
	for _, ch := range list {
		ch.mu.Lock()
		ch.due = false
		ch.mu.Unlock()
	}
	return list
}

// dueAt lists the channels that are to be looked at now, and says when the next one is; zero: with the round.
func (r *reader) dueAt(now time.Time) (due []*Channel, next time.Time) {
	for _, ch := range r.all() {
		ch.mu.Lock()
		switch at := ch.until; {
		case ch.due || !at.IsZero() && !now.Before(at):
			ch.due, ch.until = false, time.Time{}
			due = append(due, ch)
		case !at.IsZero() && (next.IsZero() || at.Before(next)):
			next = at
		}
		ch.mu.Unlock()
	}
	return due, next
}

// read takes the chain's view of some channels, and does what follows from it.
func (r *reader) read(ctx context.Context, list []*Channel) {
	head, err := r.ledger.Head(ctx)
	if err != nil {
		return
	}
	r.heard.Store(r.now().UnixNano())
	ids := make([]market.ChannelID, len(list))
	for i, ch := range list {
		ids[i] = ch.id
	}
	states, err := r.ledger.Channels(ctx, ids, escrow.Confirmed)
	if err != nil {
		return
	}
	for i, ch := range list {
		absent, err := r.unopened(ctx, ch, head)
		if errors.Join(err, r.finalise(ctx, ch), r.observe(ctx, ch, states[i], head)) == nil {
			r.fold(ctx, ch)
			r.keeper.seen(ctx, ch, head, absent)
			r.leave(ch)
			ch.news.Ring()
		}
	}
}

// Heard is when the ledger last answered; zero: not yet.
func (r *reader) Heard() time.Time {
	if at := r.heard.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// observe takes a confirmed view of a channel.
func (r *reader) observe(ctx context.Context, ch *Channel, cs escrow.ChannelState, head escrow.Head) error {
	trust := escrow.Confirmed
	if cs.Status == escrow.StatusGone { // reclaimed, if it stays so: only then it is not read again
		final, err := r.ledger.Channels(ctx, []market.ChannelID{ch.id}, escrow.Finalised)
		if err != nil {
			return err
		}
		if final[0].Status == escrow.StatusGone {
			trust = escrow.Finalised
		}
	}
	ch.gone.Store(cs.Status == escrow.StatusGone && ch.Account().Phase == escrow.PhaseSealed)
	return ch.enter(ctx, func(e *entry) error {
		e.Account = e.Account.Observe(cs, trust, head.Clock.Unix())
		if cs.Status == escrow.StatusSealed {
			// what is settled is the provider's, also where its address cannot take it yet
			e.Own.Paid, e.Own.Returned = cs.Settled, cs.Refunded
		}
		return nil
	})
}

// finalise notes a deposit, or a top-up, that has become final: only that carries the next lease on the channel. The
// finalised view is an old one, so nothing else is taken from it.
func (r *reader) finalise(ctx context.Context, ch *Channel) error {
	due := func(a escrow.Account) bool {
		return (a.Phase == escrow.PhaseSeen || a.Phase == escrow.PhaseOpen) && a.Deposit < a.Seen
	}
	if !due(ch.Account()) {
		return nil
	}
	states, err := r.ledger.Channels(ctx, []market.ChannelID{ch.id}, escrow.Finalised)
	if err != nil || states[0].Status != escrow.StatusOpen {
		return err
	}
	return ch.enter(ctx, func(e *entry) error {
		a := e.Account
		if !due(a) || states[0].Deposit <= a.Deposit {
			return nil
		}
		e.Account = a.Observe(states[0], escrow.Finalised, 0)
		e.Account.Seen = a.Seen
		return nil
	})
}

// unopened reports that no open of a channel's slot can come any more, and that a finalised view from then has no such
// account: until then a deposit may be on the chain, and only this row can fetch it.
func (r *reader) unopened(ctx context.Context, ch *Channel, head escrow.Head) (bool, error) {
	a, row := ch.book.See()
	last := row.Terms.OpenSlot + escrow.ReclaimAfter
	if a.Phase != escrow.PhaseOpening || head.Slot <= last {
		return false, nil
	}
	if res, ok, err := r.ledger.Result(ctx, row.OpenKey); err != nil || ok && !res.State.Ended() {
		return false, err
	}
	final, err := r.ledger.Channels(ctx, []market.ChannelID{ch.id}, escrow.Finalised)
	return err == nil && final[0].Status == escrow.StatusGone && final[0].Slot > last, err
}

// fold adds the shares of leases that are over to one sum: they count for ever, and are not written again with each
// look.
func (r *reader) fold(ctx context.Context, ch *Channel) {
	var over []market.LeaseID
	for lease, s := range ch.Account().Leases {
		if !s.Live && !r.orders.Follows(lease) {
			over = append(over, lease)
		}
	}
	if len(over) == 0 {
		return
	}
	err := ch.enter(ctx, func(e *entry) error {
		for _, lease := range over {
			e.Account = e.Account.Fold(lease)
		}
		return nil
	})
	if err != nil {
		r.log.Error("Channel was not stored", "channel", ch.id, "error", err)
	}
}
