package customer

import (
	"context"
	"errors"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// act performs a committed effect of the customer's lease; each may be repeated.
func (h *hire) act(ctx context.Context, m market.Lease, e market.Effect) error {
	o := h.r.snapshot()
	if o.Lease == nil || o.Lease.ID != m.ID {
		return nil // refused or lost meanwhile: the order searches on, nothing of this lease is due
	}
	switch e := e.(type) {
	case market.SendLease:
		if m.State != market.Proposed {
			return nil // given up meanwhile
		}
		if err := h.r.c.net.Propose(ctx, o.Provider, o.Raw); err != nil {
			return err
		}
		return h.ask(ctx, o)
	case market.AskStatus:
		return h.ask(ctx, o)
	case market.SendStop:
		raw, err := wire.SealStop(h.r.c.cfg.Key, h.r.c.cfg.Network,
			market.Stop{Lease: m.ID, Code: e.Code, StopGrace: e.Grace, At: h.r.c.now().Truncate(time.Millisecond)})
		if err != nil {
			return err
		}
		return h.stopAnswered(m.ID, h.r.c.net.Stop(ctx, o.Provider, raw))
	case market.SignPayment:
		return h.pay(ctx, o, m, e)
	case market.PushInputs:
		return h.r.files.push(ctx, o)
	case market.FetchOutputs:
		return h.r.files.fetch(ctx)
	case market.SendOutcome:
		return agreement{h}.send(ctx, m)
	case market.RaiseCap:
		return capRaise{h}.raise(ctx, o, m, e.Cap)
	case market.TopUp:
		return h.r.c.TopUp(ctx, o.Channel)
	}
	return nil
}

// stopAnswered notes that a provider has answered a lease's Stop, be it with a refusal that stands.
func (h *hire) stopAnswered(id market.LeaseID, err error) error {
	var refusal *market.Refusal
	if err == nil || errors.As(err, &refusal) && !refusal.Passes() {
		h.mu.Lock()
		h.stopped = id
		h.mu.Unlock()
		h.r.bell.Ring()
	}
	return err
}

// awaitStop waits until the Stop of a lease, which its machine sends until then, is answered. Errors: ctx's, or of the
// time that is over.
func (h *hire) awaitStop(ctx context.Context, id market.LeaseID, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return h.r.bell.Until(ctx, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.stopped == id
	})
}

func (h *hire) ask(ctx context.Context, o orderRow) error {
	s, err := h.r.c.net.Status(ctx, o.Provider, o.Lease.ID)
	if err != nil {
		var refusal *market.Refusal
		if !errors.As(err, &refusal) && ctx.Err() == nil {
			h.r.c.redial(o)
		}
		h.unknown(ctx, err)
		return err
	}
	h.takeStatus(ctx, s)
	if s.Receipt != nil {
		h.takeReceipt(ctx, o.Provider, s.Receipt)
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
func (h *hire) takeReceipt(ctx context.Context, provider market.NodeID, raw []byte) {
	rec, env, err := wire.OpenReceipt(raw, h.r.c.cfg.Network)
	if o := h.r.snapshot(); err != nil || env.Signer != provider || o.Lease == nil || rec.Lease != o.Lease.ID {
		h.r.c.log.Warn("Receipt was ignored", "provider", provider, "error", err)
		return
	}
	h.r.mu.Lock()
	if h.newest(rec.Seq) { // a repeated one is no proof of what was owed last
		h.r.row.Receipt = raw // stored with the machine's step
	}
	h.r.mu.Unlock()
	h.event(ctx, market.ReceiptSeen{Receipt: rec, BootMS: h.r.c.clock.BootMS()})
}

// pay signs, stores, then sends; the newest Payment is repeated by the next Receipt if this one is lost.
func (h *hire) pay(ctx context.Context, o orderRow, m market.Lease, e market.SignPayment) error {
	ch, s := h.r.c.Of(o.Channel), h.r.c.sessions.with(o.Provider)
	if ch == nil || s == nil {
		return errors.New("no channel or session")
	}
	p, err := ch.Sign(ctx, m.ID, e.LeaseAmount) // signed with the lease's step; this waits for the disk
	if market.CodeOf(err) == market.CodeVoucherBackwards {
		return nil // a newer one is signed already
	}
	if err != nil {
		return err
	}
	p.ReceiptSeq, p.OwnMS = e.ReceiptSeq, m.Meter.BillableMS
	if _, err := s.pay(ctx, p); err != nil {
		var refusal *market.Refusal
		if errors.As(err, &refusal) && refusal.Code == market.CodeVoucherBackwards {
			return h.ask(ctx, o) // the provider holds a newer one of ours: its Status shows it
		}
		return err
	}
	h.event(ctx, market.PaymentAcked{LeaseAmount: e.LeaseAmount})
	return nil
}
