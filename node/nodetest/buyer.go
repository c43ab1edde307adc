package nodetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Buyer makes a customer's documents one by one, for one CPU slot each, so that a caller can change any of them. It
// keeps nothing; the wallet is the payer's. All methods are safe for any goroutine.
type Buyer struct {
	Network string
	Key     ed25519.PrivateKey
	ID      market.NodeID
	Payer   market.Address
	Voucher ed25519.PrivateKey
	Chain   *escrowtest.Chain
	Wallet  *escrowtest.Ledger
	Now     func() time.Time
}

// Order signs an Order; change may be nil.
func (b *Buyer) Order(change func(*market.Order)) ([]byte, error) {
	now := b.Now().Truncate(time.Millisecond)
	o := market.Order{
		Customer: b.ID, Payer: b.Payer, ClusterTag: b.Chain.ClusterTag(), Created: now,
		ValidUntil: now.Add(time.Minute), Kind: market.KindBatch,
		Constraints: []market.Term{{Classes: []string{market.ClassCPU}}}, Devices: 1,
		Image:      "127.0.0.1/sample@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		ImageBytes: 1000, Platform: "linux/amd64",
		CPUMilli: 500, RAM: 64 << 20, Disk: 1 << 28, Egress: market.EgressNone, MaxRate: 4_000_000_000,
		Budget:      500_000_000,
		MaxDuration: 10 * time.Minute, StopGrace: time.Second,
	}
	_, _ = rand.Read(o.Nonce[:]) // it never fails
	if change != nil {
		change(&o)
	}
	return wire.SealOrder(b.Key, b.Network, o)
}

// Open funds a channel for a quote; change may be nil. Errors: the ledger's.
func (b *Buyer) Open(q market.Quote, deposit market.Amount, change func(*escrow.OpenTerms)) (market.ChannelID, error) {
	ctx := context.Background() // the ledger is in memory
	head, err := b.Wallet.Head(ctx)
	if err != nil {
		return market.ChannelID{}, err
	}
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // it never fails
	terms := escrow.OpenTerms{
		Payer: b.Payer, Payee: q.Payout, Mint: q.Mint, VoucherKey: escrow.PublicKey(b.Voucher),
		ReleaseKey: q.ReleaseKey, CloseDelay: time.Hour,
		Salt: binary.LittleEndian.Uint64(salt[:]), ClusterTag: b.Chain.ClusterTag(), OpenSlot: head.Slot,
	}
	if change != nil {
		change(&terms)
	}
	terms, id, err := terms.FindSalt(b.Chain.Program())
	if err != nil {
		return id, err
	}
	return id, b.Wallet.Submit(ctx, escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: deposit, Open: &terms,
		ClaimFee: 1_000_000, FeePayer: q.FeePayer})
}

// Lease signs a Lease; change may be nil.
func (b *Buyer) Lease(order, quote []byte, ch market.ChannelID, change func(*market.Proposal)) (market.LeaseID, []byte,
	error) {
	sp, err := spec.Spec{Command: []string{"/job"}}.Encode()
	if err != nil {
		return market.LeaseID{}, nil, err
	}
	now := b.Now().Truncate(time.Millisecond)
	p := market.Proposal{
		Order: order, Quote: quote, Channel: ch, VoucherKey: escrow.PublicKey(b.Voucher),
		BindSig: escrow.SignBind(b.Voucher, b.ID, ch), Cap: 500_000_000,
		Spec: sp, Created: now, AcceptUntil: now.Add(30 * time.Second),
	}
	_, _ = rand.Read(p.Nonce[:]) // it never fails
	if change != nil {
		change(&p)
	}
	raw, err := wire.SealProposal(b.Key, b.Network, p)
	if err != nil {
		return market.LeaseID{}, nil, err
	}
	env, err := wire.Open(raw, b.Network)
	return market.LeaseID(env.ID), raw, err
}

// Payment signs a Payment: share is the lease's, total the channel's.
func (b *Buyer) Payment(lease market.LeaseID, ch market.ChannelID, share, total market.Amount) market.Payment {
	v := escrow.Voucher{Channel: ch, Amount: total}.Sign(b.Voucher)
	return market.Payment{Lease: lease, LeaseAmount: share, Voucher: v.Encode(), Sig: v.Sig, ReceiptSeq: 1}
}
