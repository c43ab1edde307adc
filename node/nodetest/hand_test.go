package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

// hand is a customer that makes each document by hand, so that a test can make it wrong.
type hand struct {
	Buyer
	t   *testing.T
	w   *world
	svc *streams.Service
}

// newHand has its own node, wallet and voucher key.
func (w *world) newHand(t *testing.T, seed byte) *hand {
	t.Helper()
	h := w.net.Start(t, p2p.Config{Key: p2ptest.Key(seed), Bootstrap: w.ph.FullAddrs()})
	until(t, "the hand does not connect", func() bool { return h.Peers() > 0 })
	payer := market.Address(p2ptest.NodeID(p2ptest.Key(seed + 100)))
	w.chain.Fund(payer, 100_000_000_000)
	return &hand{t: t, w: w, svc: streams.New(h, streams.Handlers{}, w.clog), Buyer: Buyer{
		Network: h.Network().Name, Key: p2ptest.Key(seed), ID: h.ID(), Payer: payer, Voucher: p2ptest.Key(seed + 50),
		Chain: w.chain, Wallet: w.chain.Ledger(payer), Now: w.clock.Now,
	}}
}

func (h *hand) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// order signs an Order.
func (h *hand) order(change func(*market.Order)) []byte {
	h.t.Helper()
	raw, err := h.Order(change)
	h.check(err)
	return raw
}

// quote asks for one; the error is the refusal.
func (h *hand) quote(order []byte) (market.Quote, []byte, error) {
	raw, err := h.svc.Quote(context.Background(), h.w.ph.ID(), h.w.ph.Addrs(), order)
	if err != nil {
		return market.Quote{}, nil, err
	}
	q, _, err := wire.OpenQuote(raw, h.Network)
	return q, raw, err
}

// open funds a channel for a quote.
func (h *hand) open(q market.Quote, deposit market.Amount, change func(*escrow.OpenTerms)) market.ChannelID {
	h.t.Helper()
	id, err := h.Open(q, deposit, change)
	h.check(err)
	return id
}

// lease signs a Lease.
func (h *hand) lease(order, quote []byte, ch market.ChannelID, change func(*market.Proposal)) (market.LeaseID, []byte) {
	h.t.Helper()
	id, raw, err := h.Lease(order, quote, ch, change)
	h.check(err)
	return id, raw
}

// decided proposes a Lease and waits for the answer. Code is the refusal's, "" if accepted.
func (h *hand) decided(id market.LeaseID, raw []byte) (code market.Code, detail string) {
	h.t.Helper()
	if err := h.svc.Propose(context.Background(), h.w.ph.ID(), raw); err != nil {
		h.t.Error(err)
		return "not-sent", ""
	}
	var s market.Status
	// messages of one peer are limited by rate
	for end := time.Now().Add(patience); ; time.Sleep(70 * time.Millisecond) {
		var err error
		if s, err = h.svc.Status(context.Background(), h.w.ph.ID(), id); err == nil && s.State != market.Proposed {
			break
		}
		if time.Now().After(end) {
			h.t.Error("the lease is not decided")
			return "undecided", ""
		}
	}
	if s.State == market.Refused {
		return market.Code(s.Cause), s.Detail
	}
	return "", ""
}

// deal is a good lease on a new channel, accepted.
func (h *hand) deal(deposit market.Amount) (market.LeaseID, market.ChannelID) {
	h.t.Helper()
	order := h.order(nil)
	q, quote, err := h.quote(order)
	h.check(err)
	ch := h.open(q, deposit, nil)
	id, raw := h.lease(order, quote, ch, nil)
	if code, detail := h.decided(id, raw); code != "" {
		h.t.Fatalf("refused: %s %s", code, detail)
	}
	return id, ch
}

// pay sends a Payment; the error is the refusal.
func (h *hand) pay(s streams.VoucherSession, lease market.LeaseID, ch market.ChannelID, share, total market.Amount,
	change func(*market.Payment)) (market.Amount, error) {
	p := h.Payment(lease, ch, share, total)
	if change != nil {
		change(&p)
	}
	return s.Pay(context.Background(), p)
}

func (h *hand) session() streams.VoucherSession {
	h.t.Helper()
	s, err := h.svc.Vouchers(context.Background(), h.w.ph.ID())
	h.check(err)
	h.t.Cleanup(func() { _ = s.Close() })
	return s
}
