package customer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
)

// agreement is how both sides of a lease come to one signed end.
type agreement struct{ h *hire }

// peer is the provider's signed Outcome, asked for if it has not come yet.
func (g agreement) peer(ctx context.Context) (market.Outcome, error) {
	o := g.h.r.snapshot()
	if o.Outcome == nil {
		if err := g.h.ask(ctx, o); err != nil {
			return market.Outcome{}, err
		}
		if o = g.h.r.snapshot(); o.Outcome == nil {
			return market.Outcome{}, errors.New("the provider has not signed the outcome yet")
		}
	}
	out, env, err := wire.OpenOutcome(o.Outcome, g.h.r.c.cfg.Network)
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

// send signs our view and agrees with the provider's, if it owes no more than we have signed.
func (g agreement) send(ctx context.Context, m market.Lease) error {
	peer, err := g.peer(ctx)
	if err != nil {
		return err
	}
	if err := g.h.r.log.await(ctx); err != nil {
		return err
	}
	m = g.h.now()
	if !m.OutputsDone {
		return errors.New("outputs are not here yet")
	}
	agreed := peer.Amount <= acknowledged(m)
	if !agreed && g.h.r.c.now().Sub(m.Ended) < agreeWithin {
		return fmt.Errorf("the provider's outcome owes %d, of %d in its last receipt %d are signed", peer.Amount,
			m.Claim, m.Signed)
	}
	if m.Signed > m.Paid && g.h.r.c.now().Sub(m.Ended) < lastPayment {
		return errors.New("the last payment is not acknowledged yet") // agreed before it, the lease would leave a debt
	}
	own := ownOutcome(m, peer)
	keep := g.h.r.snapshot().Request.KeepChannel
	// a Release that came unasked would close it under the next order
	own.KeepChannel = keep || g.h.r.c.Expected(g.h.r.snapshot().Channel)
	own.LogBytes, own.LogMissing, own.LogEnd = g.h.r.log.outcome()
	own.Deal = g.deal(peer)
	raw, err := wire.SealOutcome(g.h.r.c.cfg.Key, g.h.r.c.cfg.Network, own)
	if err != nil {
		return err
	}
	o := g.h.r.snapshot()
	answer, err := g.h.r.c.net.Outcome(ctx, o.Provider, raw)
	if err != nil {
		return err
	}
	if _, env, err := wire.OpenOutcome(answer, g.h.r.c.cfg.Network); err != nil || env.Signer != o.Provider {
		return fmt.Errorf("the provider's outcome: %w", err)
	}
	var c store.Change
	staged := g.h.r.c.Ends.Stage(&c, answer, raw)
	err = g.h.r.update(ctx, func(o *orderRow) { o.Outcome, o.OwnOutcome = answer, raw }, c.Puts...)
	if err != nil {
		return err
	}
	staged()
	if !agreed {
		g.h.r.c.log.Warn("Provider asks more than is owed", "order", g.h.r.row.ID, "asks_sol", peer.Amount.SOL(),
			"signed_sol",
			m.Signed.SOL())
		// nothing else is to come: the money comes back without the provider's consent
		g.h.event(ctx, market.CloseNow{})
		return nil
	}
	g.h.event(ctx, market.OutcomeAgreed{KeepChannel: keep})
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

// deal is what this side tells everybody of the lease, of its own papers: nothing if it wants that, or the other side
// does, or is of a version that does not know how. The class is the provider's word, which the order and the provider's
// Offer must allow.
func (g agreement) deal(peer market.Outcome) (none market.Deal) {
	o := g.h.r.snapshot()
	if peer.Deal == none {
		return none
	}
	p, env, err := wire.OpenProposal(o.Raw, g.h.r.c.cfg.Network)
	if err != nil {
		return none // it was opened before it was sent; this cannot happen
	}
	order, _, err := wire.OpenOrder(p.Order, g.h.r.c.cfg.Network)
	if err != nil || order.Private || market.LeaseID(env.ID) != peer.Lease {
		return none
	}
	quote, _, err := wire.OpenQuote(p.Quote, g.h.r.c.cfg.Network)
	if err != nil || !g.sells(o.Provider, quote, order, peer.Deal.Class) {
		return none
	}
	return market.Deal{Class: peer.Deal.Class, Rate: quote.Rate, Devices: len(quote.Devices), Mint: quote.Mint,
		Channel: p.Channel, Payer: order.Payer, Payee: quote.Payout, Provider: o.Provider, Customer: order.Customer,
		Bind: p.BindSig}
}

// sells reports whether devices may be called of a class: the order admits it, and where the Offer is still known that
// lists them, it says the same.
func (g agreement) sells(p market.NodeID, quote market.Quote, order market.Order, class string) bool {
	for _, t := range order.Constraints {
		if t.Field == market.FieldClass && !t.Soft && !t.FitsClass(class) {
			return false
		}
	}
	o, _, _ := g.h.r.c.Book.offerOf(p)
	for _, group := range o.Groups {
		if slices.Contains(group.Devices, quote.Devices[0]) {
			return group.Class == class
		}
	}
	return true
}
