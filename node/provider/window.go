package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/outcomes"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

// window is where customers speak to their leases.
type window struct {
	*common
	desk     *desk
	books    *releases
	sessions *sessions
	clerk    *clerk
	ends     *outcomes.Teller
}

var _ interface {
	streams.Amender
	streams.Tunneler
} = (*window)(nil)

// Status answers a customer about its lease. Refusal: unknown-lease.
func (w *window) Status(ctx context.Context, from market.NodeID, id market.LeaseID) (market.Status, error) {
	if err := w.started(ctx); err != nil {
		return market.Status{}, err
	}
	d, refused, deciding := w.clerk.answer(id) // first: what is decided right after is found at the desk
	l, err := w.desk.own(from, id)
	if err == nil {
		return messages{l}.status(), nil
	}
	switch {
	case refused:
		d.Detail, d.At = cut(d.Detail), d.At.Truncate(time.Millisecond)
		s := market.Status{Lease: id, State: market.Refused, Cause: string(d.Code), Detail: d.Detail}
		if s.Decision, err = wire.SealDecision(w.cfg.Key, w.cfg.Network, d); err != nil {
			return s, fmt.Errorf("seal decision: %w", err)
		}
		return s, nil
	case deciding:
		return market.Status{Lease: id, State: market.Proposed}, nil
	}
	return market.Status{}, err
}

// Stop ends a lease for its customer, also one that has not come yet. Refusals: malformed, signer-not-peer, busy;
// unknown-lease for somebody else's.
func (w *window) Stop(ctx context.Context, from market.NodeID, raw []byte) error {
	s, env, err := wire.OpenStop(raw, w.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "")
	}
	if err := w.started(ctx); err != nil {
		return err
	}
	grace := s.StopGrace
	if grace == 0 {
		grace = -1
	}
	stop := market.StopAsked{By: market.CustomerSide, Code: stopCode(s.Code), Grace: grace}
	return w.clerk.stop(ctx, from, s.Lease, stop)
}

// Outcome takes the customer's signed Outcome and answers with the own one. Refusal: conflict while the job is not
// over.
func (w *window) Outcome(ctx context.Context, from market.NodeID, raw []byte) ([]byte, error) {
	o, env, err := wire.OpenOutcome(raw, w.cfg.Network)
	if err != nil {
		return nil, market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return nil, market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "")
	}
	if err := w.started(ctx); err != nil {
		return nil, err
	}
	l, err := w.desk.own(from, o.Lease)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	own := l.row.Outcome
	l.mu.Unlock()
	m := l.actor.Lease()
	if own == nil || m.State < market.Closing {
		return nil, market.Refuse(market.CodeConflict, market.KindConflict, "the lease is "+m.State.String())
	}
	var c store.Change
	staged := w.ends.Stage(&c, own, raw)
	if err := l.update(ctx, func(r *leaseRow) { r.PeerOutcome = raw }, c.Puts...); err != nil {
		return nil, err
	}
	staged()
	// A customer that agrees has its outputs: it signs their root.
	if m.OutputsRoot == o.OutputsRoot || m.OutputsRoot == ([32]byte{}) {
		if err := l.tell(ctx, market.OutputsServed{}); err != nil {
			return nil, err
		}
	}
	if err := l.tell(ctx, market.OutcomeAgreed{KeepChannel: o.KeepChannel}); err != nil {
		return nil, err
	}
	return own, nil
}

// Amend raises the cap of a lease by its customer's signature; nil once it is on disk. A cap that is not higher changes
// nothing, so a repeat is free. Refusals: malformed, signer-not-peer, unknown-lease; conflict: the job has begun to
// stop, or is over.
func (w *window) Amend(ctx context.Context, from market.NodeID, raw []byte) error {
	if err := w.started(ctx); err != nil {
		return err
	}
	a, env, err := wire.OpenAmend(raw, w.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "")
	}
	l, err := w.desk.own(from, a.Lease)
	if err != nil {
		return err
	}
	m := l.actor.Lease()
	if a.Cap <= m.Limit() {
		return nil
	}
	if !m.Legal(market.CapRaised{}) {
		return market.Refuse(market.CodeConflict, market.KindConflict, "the lease is "+m.State.String())
	}
	ch, err := w.books.byID(l.channel)
	if err != nil {
		return err
	}
	// vouchers of the lease may go up to the new cap from the commit on with which it works for it
	err = l.actor.DoWith(ctx, func(ctx context.Context, apply applyFunc) error {
		return w.books.keep(ctx, ch, func(e *entry) error {
			m, effects, err := apply(market.CapRaised{Cap: a.Cap})
			if err != nil {
				return err
			}
			add, err := l.stage(m, effects)
			if err != nil {
				return err
			}
			e.Account = e.Account.RaiseCap(l.id, a.Cap)
			e.Add(add)
			return nil
		})
	})
	if errors.Is(err, market.ErrIllegal) {
		return market.Refuse(market.CodeConflict, market.KindConflict, "the lease is "+l.actor.Lease().State.String())
	} else if err != nil {
		return err
	}
	w.log.Info("Lease's cap was raised", "lease", l.id, "cap", a.Cap)
	return nil
}

// Payment stores a voucher and answers with the stored total; the acknowledgement leaves only after the commit.
func (w *window) Payment(ctx context.Context, from market.NodeID, pay market.Payment) (market.Amount, error) {
	if err := w.started(ctx); err != nil {
		return 0, err
	}
	l, err := w.desk.own(from, pay.Lease)
	if err != nil {
		return 0, err
	}
	ch, err := w.books.byID(l.channel)
	if err != nil {
		return 0, err
	}
	account, _ := ch.See()
	checked, stored, err := account.Check(pay)
	if err != nil {
		return stored, err
	}
	take := func(ctx context.Context, apply applyFunc) (err error) {
		stored, err = w.books.take(ctx, l, ch, checked, pay, apply)
		return err
	}
	if !l.over() {
		err = l.actor.DoWith(ctx, take)
	}
	if l.over() && (err == nil || market.CodeOf(err) == market.CodeBusy) { // what it left unpaid counts all the same
		err = take(ctx, nil)
	}
	var refusal *market.Refusal
	if err != nil && !errors.As(err, &refusal) {
		return 0, fmt.Errorf("store voucher: %w", err)
	}
	w.desk.counter.Learn(l.customer, l.order.Payer, l.actor.Lease())
	return stored, err
}

// Deals reports whether a customer has a lease here that is not over.
func (w *window) Deals(from market.NodeID) bool { return len(w.desk.ofCustomer(from)) > 0 }

// Session keeps the push of a customer's live stream and repeats what it may have missed.
func (w *window) Session(from market.NodeID, push func(streams.VoucherPush) error) func() {
	// bounded; without its leases a session has nothing to repeat, and is asked for it
	_ = w.started(context.Background())
	closed := w.sessions.open(from, push)
	for _, l := range w.desk.ofCustomer(from) {
		messages{l}.resend()
	}
	return closed
}
