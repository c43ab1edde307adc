package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// ReleaseRequest answers with a signed Release of a channel without live leases. Refusals: channel-unknown, lease-live,
// chain-unreachable.
func (b *books) ReleaseRequest(ctx context.Context, from market.NodeID, id market.ChannelID) ([114]byte, error) {
	if err := b.started(ctx); err != nil {
		return [114]byte{}, err
	}
	ch, err := b.byID(id)
	if err != nil || ch.owner() == (market.NodeID{}) {
		ch, err = b.adoptUnused(ctx, from, id)
	}
	if err != nil {
		return [114]byte{}, err
	}
	if ch.owner() != from {
		return [114]byte{}, market.Refuse(market.CodeChannelUnknown, market.KindNotFound,
			"not a channel of this customer")
	}
	return b.release(ctx, ch)
}

// adoptUnused enters a channel on which no lease was ever accepted, so that its deposit can go back at once: a customer
// funds before it is refused. Only one with the release key of exactly this customer is taken. Refusals:
// channel-unknown, chain-unreachable.
func (b *books) adoptUnused(ctx context.Context, from market.NodeID, id market.ChannelID) (*channel, error) {
	// the customer asks again until it is
	states, err := b.ledger.Channels(ctx, []market.ChannelID{id}, escrow.Finalised)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	cs := states[0]
	if cs.Status != escrow.StatusOpen || cs.Payee != b.cfg.Payout || cs.ReleaseKey == ([32]byte{}) ||
		cs.ReleaseKey != b.ReleaseKey(from, cs.Mint) {
		return nil, market.Refuse(market.CodeChannelUnknown, market.KindNotFound, id.String())
	}
	b.mu.Lock()
	ch, known := b.channels[id]
	if !known {
		ch = b.create(cs, channelRow{})
		b.channels[id] = ch
	}
	b.mu.Unlock()
	ch.Note(func(e *entry) {
		if e.Own.Customer == (market.NodeID{}) { // else a lease was accepted meanwhile: it counts
			e.Own.Customer, e.Own.Payer = from, cs.Payer
		}
	})
	return ch, nil
}

// release makes and stores a Release at Σ owed before it leaves.
func (b *books) release(ctx context.Context, ch *channel) ([114]byte, error) {
	head, err := b.ledger.Head(ctx)
	if err != nil {
		return [114]byte{}, err
	}
	var rel wireRelease
	err = ch.Write(ctx, false, func(e *entry) error {
		if e.Account.Releases(e.Own.Release, head.Clock) {
			rel = e.Own.Release // asked again: the same answer, without a commit if it is on disk
			return nil
		}
		key, err := b.keys.Release(b.cfg.ClusterTag, e.Own.Customer, b.cfg.Payout, market.Address{})
		if err != nil {
			return err
		}
		account, signed, err := e.Account.MakeRelease(key, head.Clock)
		if err != nil {
			return err
		}
		rel = signed.Wire()
		e.Account, e.Own.Release = account, rel
		e.Event(b.released(ch.id, account))
		b.log.Info("Release signed", "channel", ch.id, "final_sol", market.Amount(signed.Final).SOL())
		return nil
	})
	var refusal *market.Refusal
	if err != nil && !errors.As(err, &refusal) {
		err = fmt.Errorf("store release: %w", err)
	}
	return rel, err
}

// ClaimFee is what a customer's open sends to the fee payer: 50,000 lamports by default, on a poor rig also what lacks
// to the rent minimum.
func (b *books) ClaimFee() market.Amount {
	b.mu.Lock()
	defer b.mu.Unlock()
	fee := b.cfg.Dues.ClaimFee
	if want := b.rentMin + b.cfg.Dues.ClaimFee; b.feeBal < want {
		fee = max(fee, want-b.feeBal)
	}
	return fee
}

// ReleaseKey is the public half of the key derived for this customer, our payout and the mint.
func (b *books) ReleaseKey(customer market.NodeID, mint market.Address) [32]byte {
	k, err := b.keys.Release(b.cfg.ClusterTag, customer, b.cfg.Payout, mint)
	if err != nil {
		return [32]byte{} // no release: the customer waits for the close delay
	}
	return escrow.PublicKey(k)
}

// released is the event of a Release that was signed: from then on the customer can close the channel at once.
func (b *books) released(id market.ChannelID, a escrow.Account) store.Event {
	return store.Event{
		At: b.now(), Topic: "channel", ID: id.String(), Role: "provider", Cause: "release-signed", Money: true,
		Amounts: map[string]market.Amount{"owed": a.OwedSum(), "paid": a.PaidSum()},
	}
}
