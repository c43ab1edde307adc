package customer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// act performs a committed effect of the customer's lease; each may be repeated.
func (r *orderRun) act(ctx context.Context, m market.Lease, e market.Effect) error {
	o := r.snapshot()
	if o.Lease == nil || o.Lease.ID != m.ID {
		return nil // refused or lost meanwhile: the order searches on, nothing of this lease is due
	}
	switch e := e.(type) {
	case market.SendLease:
		if err := r.c.net.Propose(ctx, o.Provider, o.Raw); err != nil {
			return err
		}
		return r.ask(ctx, o)
	case market.AskStatus:
		return r.ask(ctx, o)
	case market.SendStop:
		raw, err := wire.SealStop(r.c.cfg.Key, r.c.cfg.Network,
			market.Stop{Lease: m.ID, Code: e.Code, StopGrace: e.Grace, At: r.c.now().Truncate(time.Millisecond)})
		if err != nil {
			return err
		}
		return r.c.net.Stop(ctx, o.Provider, raw)
	case market.SignPayment:
		return r.pay(ctx, o, m, e)
	case market.PushInputs:
		return r.files.push(ctx, o)
	case market.FetchOutputs:
		return r.files.fetch(ctx)
	case market.SendOutcome:
		return r.sendOutcome(ctx, m)
	case market.RaiseCap:
		return r.raiseCap(ctx, o, m, e.Cap)
	case market.TopUp:
		return r.c.topUp(ctx, o.Channel)
	}
	return nil
}

func (r *orderRun) ask(ctx context.Context, o orderRow) error {
	s, err := r.c.net.Status(ctx, o.Provider, o.Lease.ID)
	if err != nil {
		var refusal *market.Refusal
		if !errors.As(err, &refusal) && ctx.Err() == nil {
			r.c.redial(o)
		}
		r.unknown(ctx, err)
		return err
	}
	r.takeStatus(ctx, s)
	if s.Receipt != nil {
		r.takeReceipt(ctx, o.Provider, s.Receipt)
	}
	return nil
}

// redial drops a connection on which the provider does not answer, and looks for it where its newest Offer says.
func (c *Customer) redial(o orderRow) {
	if offer, _, ok := c.Book.offerOf(o.Provider); ok && len(offer.Reach) > 0 {
		o.Reach = offer.Reach
	}
	c.net.HangUp(o.Provider)
	c.net.KeepConnected(o.Provider, o.Reach)
}

// takeReceipt verifies a Receipt, keeps it and gives it to the machine.
func (r *orderRun) takeReceipt(ctx context.Context, provider market.NodeID, raw []byte) {
	rec, env, err := wire.OpenReceipt(raw, r.c.cfg.Network)
	if o := r.snapshot(); err != nil || env.Signer != provider || o.Lease == nil || rec.Lease != o.Lease.ID {
		r.c.log.Warn("Receipt was ignored", "provider", provider, "error", err)
		return
	}
	r.mu.Lock()
	if rec.Seq >= r.receiptSeq { // a repeated one is no proof of what was owed last
		r.receiptSeq, r.row.Receipt = rec.Seq, raw // stored with the machine's step
	}
	r.mu.Unlock()
	r.event(ctx, market.ReceiptSeen{Receipt: rec, BootMS: r.c.clock.BootMS()})
}

// pay signs, stores, then sends; the newest Payment is repeated by the next Receipt if this one is lost.
func (r *orderRun) pay(ctx context.Context, o orderRow, m market.Lease, e market.SignPayment) error {
	r.c.mu.Lock()
	ch, s := r.c.channels[o.Channel], r.c.sessions[o.Provider]
	r.c.mu.Unlock()
	if ch == nil || s == nil {
		return errors.New("no channel or session")
	}
	var p market.Payment
	err := r.c.enterBooks(ctx, ch, func(b *entry) (err error) { // signed with the lease's step; this waits for the disk
		b.Account, p, err = b.Account.Sign(ch.key, m.ID, e.LeaseAmount)
		return err
	})
	if market.CodeOf(err) == market.CodeVoucherBackwards {
		return nil // a newer one is signed already
	}
	if err != nil {
		return err
	}
	p.ReceiptSeq, p.OwnMS = e.ReceiptSeq, e.OwnMS
	if _, err := s.pay(ctx, p); err != nil {
		var refusal *market.Refusal
		if errors.As(err, &refusal) && refusal.Code == market.CodeVoucherBackwards {
			return r.ask(ctx, o) // the provider holds a newer one of ours: its Status shows it
		}
		return err
	}
	r.event(ctx, market.PaymentAcked{LeaseAmount: e.LeaseAmount})
	return nil
}

// peerOutcome is the provider's signed Outcome, asked for if it has not come yet.
func (r *orderRun) peerOutcome(ctx context.Context) (market.Outcome, error) {
	o := r.snapshot()
	if o.Outcome == nil {
		if err := r.ask(ctx, o); err != nil {
			return market.Outcome{}, err
		}
		if o = r.snapshot(); o.Outcome == nil {
			return market.Outcome{}, errors.New("the provider has not signed the outcome yet")
		}
	}
	out, env, err := wire.OpenOutcome(o.Outcome, r.c.cfg.Network)
	if err == nil && (env.Signer != o.Provider || o.Lease == nil || out.Lease != o.Lease.ID) {
		err = errors.New("the stored outcome is of another lease")
	}
	return out, err
}

// lastPayment is how long an Outcome waits for the last acknowledgement; it may never come: the channel may hold no
// more. agreeWithin is how long a provider may say that more is owed than we have signed: a last payment may still be
// on its way.
const (
	lastPayment = 10 * time.Second
	agreeWithin = time.Minute
)

// sendOutcome signs our view and agrees with the provider's, if it owes no more than we have signed.
func (r *orderRun) sendOutcome(ctx context.Context, m market.Lease) error {
	peer, err := r.peerOutcome(ctx)
	if err != nil {
		return err
	}
	if err := r.log.await(ctx); err != nil {
		return err
	}
	m = r.actor.Lease()
	if !m.OutputsDone {
		return errors.New("outputs are not here yet")
	}
	agreed := peer.Amount <= acknowledged(m)
	if !agreed && r.c.now().Sub(m.Ended) < agreeWithin {
		return fmt.Errorf("the provider's outcome owes %d, of %d in its last receipt %d are signed", peer.Amount,
			m.Claim, m.Signed)
	}
	if m.Signed > m.Paid && r.c.now().Sub(m.Ended) < lastPayment {
		return errors.New("the last payment is not acknowledged yet") // agreed before it, the lease would leave a debt
	}
	own := ownOutcome(m, peer)
	keep := r.snapshot().Request.KeepChannel
	// a Release that came unasked would close it under the next order
	own.KeepChannel = keep || r.c.awaited(r.snapshot().Channel)
	own.LogBytes, own.LogMissing, own.LogEnd = r.log.outcome()
	raw, err := wire.SealOutcome(r.c.cfg.Key, r.c.cfg.Network, own)
	if err != nil {
		return err
	}
	o := r.snapshot()
	answer, err := r.c.net.Outcome(ctx, o.Provider, raw)
	if err != nil {
		return err
	}
	if _, env, err := wire.OpenOutcome(answer, r.c.cfg.Network); err != nil || env.Signer != o.Provider {
		return fmt.Errorf("the provider's outcome: %w", err)
	}
	if err := r.update(ctx, func(o *orderRow) { o.Outcome, o.OwnOutcome = answer, raw }); err != nil {
		return err
	}
	if !agreed {
		r.c.log.Warn("Provider asks more than is owed", "order", r.row.ID, "asks_sol", peer.Amount.SOL(), "signed_sol",
			m.Signed.SOL())
		r.event(ctx, market.CloseNow{}) // nothing else is to come: the money comes back without the provider's consent
		return nil
	}
	r.event(ctx, market.OutcomeAgreed{KeepChannel: keep})
	return nil
}

// acknowledged is what we hold to be owed at the end: the last claim, as far as we could sign it. What a provider
// claims beyond that is its word alone, and what is signed beyond the claim was ahead of the meter and comes back.
func acknowledged(m market.Lease) market.Amount { return min(m.Claim, m.Signed) }

// ownOutcome is the provider's Outcome where we know no better: how much is owed, and what this side found out itself.
func ownOutcome(m market.Lease, peer market.Outcome) market.Outcome {
	own, ours := peer, m.Outcome()
	switch m.Code {
	case market.CodeNotAsQuoted, market.CodeMeterDispute, market.CodeEquivocation, market.CodeOutputLost,
		market.CodeProviderSilent:
		own.Code, own.Fault = ours.Code, ours.Fault
	}
	if owed := acknowledged(m); own.Amount > owed {
		own.BillableMS, own.Amount = m.Meter.BillableMS, owed
	}
	return own
}
