package nodetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// hand is a customer that makes each document by hand, so that a test can make it wrong.
type hand struct {
	t      *testing.T
	w      *world
	svc    *streams.Service
	key    ed25519.PrivateKey
	id     market.NodeID
	payer  market.Address
	wallet *escrowtest.Ledger
	vkey   ed25519.PrivateKey
}

// newHand has its own node, wallet and voucher key.
func (w *world) newHand(t *testing.T, seed byte) *hand {
	t.Helper()
	h := p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(seed), Bootstrap: w.ph.FullAddrs()})
	p2ptest.Eventually(t, "the hand does not connect", func() bool { return h.Peers() > 0 })
	payer := market.Address(p2ptest.NodeID(p2ptest.Key(seed + 100)))
	w.chain.Fund(payer, 1_000_000_000)
	return &hand{
		t: t, w: w, svc: streams.New(h.Libp2p(), h.Network().Name, streams.Handlers{}, w.clog), key: p2ptest.Key(seed), id: h.ID(), payer: payer,
		wallet: w.chain.Ledger(payer), vkey: p2ptest.Key(seed + 50),
	}
}

func (h *hand) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) network() string { return h.w.ph.Network().Name }

// order signs an Order.
func (h *hand) order(change func(*market.Order)) []byte {
	h.t.Helper()
	now := h.w.clock.Now().Truncate(time.Millisecond)
	o := market.Order{
		Customer: h.id, Payer: h.payer, ClusterTag: h.w.chain.ClusterTag(), Created: now, ValidUntil: now.Add(time.Minute), Kind: market.KindBatch,
		Constraints: []market.Term{{Classes: []string{market.ClassCPU}}}, Devices: 1,
		Image: "127.0.0.1/sample@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ImageBytes: 1000, Platform: "linux/amd64",
		CPUMilli: 500, RAM: 64 << 20, Disk: 1 << 28, Egress: market.EgressNone, MaxRate: 4_000_000_000, Budget: 50_000_000,
		MaxDuration: 10 * time.Minute, StopGrace: time.Second,
	}
	_, err := rand.Read(o.Nonce[:])
	h.check(err)
	if change != nil {
		change(&o)
	}
	raw, err := wire.SealOrder(h.key, h.network(), o)
	h.check(err)
	return raw
}

// quote asks for one; the error is the refusal.
func (h *hand) quote(order []byte) (market.Quote, []byte, error) {
	raw, err := h.svc.Quote(context.Background(), h.w.ph.ID(), h.w.ph.Addrs(), order)
	if err != nil {
		return market.Quote{}, nil, err
	}
	q, _, err := wire.OpenQuote(raw, h.network())
	return q, raw, err
}

// open funds a channel for a quote.
func (h *hand) open(q market.Quote, deposit market.Amount, change func(*escrow.OpenTerms)) market.ChannelID {
	h.t.Helper()
	head, err := h.wallet.Head(context.Background())
	h.check(err)
	terms := escrow.OpenTerms{
		Payer: h.payer, Payee: q.Payout, Mint: q.Mint, VoucherKey: escrow.PublicKey(h.vkey), ReleaseKey: q.ReleaseKey, CloseDelay: time.Hour,
		Salt: uint64(time.Now().UnixNano()), ClusterTag: h.w.chain.ClusterTag(), OpenSlot: head.Slot,
	}
	if change != nil {
		change(&terms)
	}
	terms, id, err := terms.FindSalt(h.w.chain.Program())
	h.check(err)
	h.check(h.wallet.Submit(context.Background(), escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: deposit, Open: &terms, ClaimFee: 1_000_000, FeePayer: q.FeePayer}))
	return id
}

// lease signs a Lease.
func (h *hand) lease(order, quote []byte, ch market.ChannelID, change func(*market.Proposal)) (market.LeaseID, []byte) {
	h.t.Helper()
	sp, err := spec.Spec{Command: []string{"/job"}}.Encode()
	h.check(err)
	now := h.w.clock.Now().Truncate(time.Millisecond)
	p := market.Proposal{
		Order: order, Quote: quote, Channel: ch, VoucherKey: escrow.PublicKey(h.vkey), BindSig: provider.SignBind(h.vkey, h.id, ch), Cap: 50_000_000,
		Spec: sp, Created: now, AcceptUntil: now.Add(10 * time.Second),
	}
	_, err = rand.Read(p.Nonce[:])
	h.check(err)
	if change != nil {
		change(&p)
	}
	raw, err := wire.SealProposal(h.key, h.network(), p)
	h.check(err)
	env, err := wire.Open(raw, h.network())
	h.check(err)
	return market.LeaseID(env.ID), raw
}

// decided proposes a Lease and waits for the answer. Code is the refusal's, "" if accepted.
func (h *hand) decided(id market.LeaseID, raw []byte) (code, detail string) {
	h.t.Helper()
	if err := h.svc.Propose(context.Background(), h.w.ph.ID(), raw); err != nil {
		h.t.Error(err)
		return "not-sent", ""
	}
	var s market.Status
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(70 * time.Millisecond) { // messages of one peer are limited by rate
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
		return s.Cause, s.Detail
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
func (h *hand) pay(s streams.VoucherSession, lease market.LeaseID, ch market.ChannelID, share, total market.Amount, change func(*market.Payment)) (market.Amount, error) {
	v := escrow.Voucher{Channel: ch, Amount: total}.Sign(h.vkey)
	p := market.Payment{Lease: lease, LeaseAmount: share, Voucher: v.Encode(), Sig: v.Sig, ReceiptSeq: 1}
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
