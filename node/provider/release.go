package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/streams"
)

// releases are signed for channels without live leases: with one its customer closes the channel at once.
type releases struct {
	*books
	ledger escrow.Ledger
	keys   escrow.Keys
	push   func(market.NodeID, streams.VoucherPush)

	looks sync.Mutex
	// looked is when the chain was last read for a customer's channel that is not known here; looks guards it.
	looked map[market.NodeID]time.Time
}

// lookAgain is how often the chain is read for a customer whose channel is not known here: its deposit may not be final
// yet, and it asks each 5 s. maxLooks bounds for how many that is done at a time.
const (
	lookAgain = 3 * time.Second
	maxLooks  = 1024
)

// mayLook reports whether the chain may be read for a customer now, and counts it.
func (r *releases) mayLook(from market.NodeID) bool {
	now := r.now()
	r.looks.Lock()
	defer r.looks.Unlock()
	for id, at := range r.looked {
		if d := now.Sub(at); d < 0 || d >= lookAgain {
			delete(r.looked, id)
		}
	}
	if _, lately := r.looked[from]; lately || len(r.looked) >= maxLooks {
		return false
	}
	if r.looked == nil {
		r.looked = map[market.NodeID]time.Time{}
	}
	r.looked[from] = now
	return true
}

// ReleaseRequest answers with a signed Release of a channel without live leases. Refusals: channel-unknown, lease-live,
// chain-unreachable, rate-limited.
func (r *releases) ReleaseRequest(ctx context.Context, from market.NodeID, id market.ChannelID) ([114]byte, error) {
	if err := r.started(ctx); err != nil {
		return [114]byte{}, err
	}
	ch, err := r.byID(id)
	if err != nil || ch.owner() == (market.NodeID{}) {
		ch, err = r.adoptUnused(ctx, from, id)
	}
	if err != nil {
		return [114]byte{}, err
	}
	if ch.owner() != from {
		return [114]byte{}, market.Refuse(market.CodeChannelUnknown, market.KindNotFound,
			"not a channel of this customer")
	}
	return r.make(ctx, ch)
}

// adoptUnused enters a channel on which no lease was ever accepted, so that its deposit can go back at once: a customer
// funds before it is refused. Only one with the release key of exactly this customer is taken. Refusals:
// channel-unknown, chain-unreachable, rate-limited.
func (r *releases) adoptUnused(ctx context.Context, from market.NodeID, id market.ChannelID) (*channel, error) {
	if !r.mayLook(from) {
		no := market.Refuse(market.CodeRateLimited, market.KindUnavailable, "the chain was asked for you just now")
		no.RetryAfter = lookAgain
		return nil, no
	}
	// the customer asks again until it is
	states, err := r.ledger.Channels(ctx, []market.ChannelID{id}, escrow.Finalised)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	cs := states[0]
	if cs.Status != escrow.StatusOpen || cs.Payee != r.cfg.Payout || cs.ReleaseKey == ([32]byte{}) ||
		cs.ReleaseKey != r.ReleaseKey(from, cs.Mint) {
		return nil, market.Refuse(market.CodeChannelUnknown, market.KindNotFound, id.String())
	}
	r.mu.Lock()
	ch, known := r.channels[id]
	if !known {
		ch = r.create(cs, channelRow{})
		r.channels[id] = ch
	}
	r.mu.Unlock()
	ch.Note(func(e *entry) {
		if e.Own.Customer == (market.NodeID{}) { // else a lease was accepted meanwhile: it counts
			e.Own.Customer, e.Own.Payer = from, cs.Payer
		}
	})
	return ch, nil
}

// make makes and stores a Release at Σ owed before it leaves.
func (r *releases) make(ctx context.Context, ch *channel) ([114]byte, error) {
	head, err := r.ledger.Head(ctx)
	if err != nil {
		return [114]byte{}, err
	}
	var rel wireRelease
	err = ch.Write(ctx, false, func(e *entry) error {
		if e.Account.Releases(e.Own.Release, head.Clock) {
			rel = e.Own.Release // asked again: the same answer, without a commit if it is on disk
			return nil
		}
		key, err := r.keys.Release(r.cfg.ClusterTag, e.Own.Customer, r.cfg.Payout, market.Address{})
		if err != nil {
			return err
		}
		account, signed, err := e.Account.MakeRelease(key, head.Clock)
		if err != nil {
			return err
		}
		rel = signed.Wire()
		e.Account, e.Own.Release = account, rel
		e.Event(r.released(ch.id, account))
		r.log.Info("Release signed", "channel", ch.id, "final_sol", market.Amount(signed.Final).SOL())
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
func (r *releases) ReleaseKey(customer market.NodeID, mint market.Address) [32]byte {
	k, err := r.keys.Release(r.cfg.ClusterTag, customer, r.cfg.Payout, mint)
	if err != nil {
		return [32]byte{} // no release: the customer waits for the close delay
	}
	return escrow.PublicKey(k)
}

// released is the event of a Release that was signed: from then on the customer can close the channel at once.
func (r *releases) released(id market.ChannelID, a escrow.Account) store.Event {
	return store.Event{
		At: r.now(), Topic: "channel", ID: id.String(), Role: "provider", Cause: "release-signed", Money: true,
		Amounts: map[string]market.Amount{"owed": a.OwedSum(), "paid": a.PaidSum()},
	}
}

// endAndRelease makes the lease's share final and, with no other live lease, signs and pushes the Release.
func (r *releases) endAndRelease(ctx context.Context, l *leaseRun) error {
	if err := r.books.end(ctx, l); err != nil {
		return err
	}
	ch, err := r.byID(l.channel)
	if err != nil {
		return err
	}
	if a, _ := ch.See(); a.Live() > 0 {
		return nil
	}
	rel, err := r.make(ctx, ch)
	if err != nil {
		return err
	}
	r.push(l.customer, streams.VoucherPush{Release: &streams.ReleasePush{Channel: ch.id, Bytes: rel}})
	return nil
}
