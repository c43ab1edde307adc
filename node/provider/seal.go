package provider

import (
	"context"
	"errors"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// A customer whose node never comes back would leave his deposit and the storage deposit of the channel on the chain
// for ever. The provider's node ends such a channel with its own Release, at what is settled: it forgoes what is less
// than a settlement costs, and gains nothing else.

// rentAfter is how long a channel stays on the chain that was ended so: there its customer's node reads what it paid
// and what came back.
const rentAfter = 7 * 24 * time.Hour

// sealAlone ends a channel that carries no lease any more and whose customer is gone, one step at each look: what
// vouchers prove is recorded, then the channel is sealed and both are paid, much later the storage deposit goes home.
// Every step is repeatable.
func (s *settler) sealAlone(ctx context.Context, ch *channel, cs escrow.ChannelState, head escrow.Head) {
	a, r := ch.See()
	ended := lastEnded(a, r)
	quiet := s.now().Sub(later(ended, s.sessions.quietSince(r.Customer)))
	if s.cfg.Dues.SealAfter <= 0 || ended.IsZero() || quiet < s.cfg.Dues.SealAfter ||
		len(s.desk.ofChannel(ch.id)) > 0 ||
		!s.canPay() {
		return
	}
	in := escrow.Intent{Op: escrow.OpFinish, Channel: ch.id}
	switch {
	case cs.Status == escrow.StatusOpen || cs.Status == escrow.StatusClosing:
		rel := s.sealRelease(ctx, ch, cs, head)
		if rel == nil {
			return
		}
		in.Nonce, in.Release = uint64(rel.Expires), rel
	case cs.Status == escrow.StatusSealed && (cs.Paid != cs.Settled || cs.Refunded != cs.Deposit-cs.Settled):
		in.Nonce = 1
	case cs.Status == escrow.StatusSealed && quiet >= s.cfg.Dues.SealAfter+s.rentAfter() &&
		cs.Slot > cs.OpenSlot+escrow.ReopenWindow:
		in.Op = escrow.OpReclaim
	default:
		return
	}
	if err := s.ledger.Submit(ctx, in); err != nil && ctx.Err() == nil {
		s.log.Warn("Channel of a customer who is gone was not ended", "channel", ch.id, "op", in.Op, "error", err)
	}
}

func (s *settler) rentAfter() time.Duration {
	if s.cfg.Dues.RentAfter > 0 {
		return s.cfg.Dues.RentAfter
	}
	return rentAfter
}

// canPay reports whether the fee payer has what a finish and a settlement cost beyond its rent minimum.
func (s *settler) canPay() bool {
	rentMin, balance := s.books.fees()
	return balance >= rentMin+3*settleFee
}

// sealRelease makes and stores the Release that ends a channel at what is settled; nil: not now, because more can be
// settled first, one is out that has not expired, or the channel takes none.
func (s *settler) sealRelease(ctx context.Context, ch *channel, cs escrow.ChannelState,
	head escrow.Head) *escrow.SignedRelease {
	a, r := ch.See()
	v, ok := a.Redeemable(r.TickPrice)
	if ok && v.Amount > cs.Settled && v.Amount-cs.Settled > settleFee {
		s.settleBy(ctx, ch, escrow.Decision{Act: escrow.ActRecord, Voucher: v, Why: "the customer is gone"})
		return nil
	}
	key, err := s.books.keys.Release(s.cfg.ClusterTag, r.Customer, s.cfg.Payout, cs.Mint)
	if err != nil || escrow.PublicKey(key) != cs.ReleaseKey || a.ReleaseTo > head.Clock.Unix() {
		return nil
	}
	var rel escrow.SignedRelease
	err = ch.Write(ctx, false, func(e *entry) (err error) {
		e.Account, rel, err = e.Account.MakeSeal(key, head.Clock) // a lease that began meanwhile is live: refused
		e.Own.Release = rel.Wire()
		e.Event(s.books.released(ch.id, e.Account))
		return err
	})
	var refusal *market.Refusal
	if err != nil {
		if !errors.As(err, &refusal) {
			s.log.Warn("Release was not stored", "channel", ch.id, "error", err)
		}
		return nil
	}
	s.log.Info("Channel of a customer who is gone is ended", "channel", ch.id, "settled", cs.Settled, "returns",
		cs.Deposit-cs.Settled)
	return &rel
}
