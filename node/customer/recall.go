package customer

import (
	"context"
	"errors"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// recall takes back vouchers of our own that the provider holds and our store does not know: it was put back to an
// older copy.
func (h *hire) recall(ctx context.Context, o orderRow, s market.Status) {
	v, err := escrow.DecodeVoucher(s.Voucher[:])
	if err != nil || s.LeaseAmount == 0 {
		return // an older peer, or nothing is paid yet
	}
	ch := h.r.c.Of(o.Channel)
	if ch == nil {
		return
	}
	share, changed, err := ch.Recall(ctx, escrow.Signed{Voucher: v, Sig: s.VoucherSig}, s.Lease, s.LeaseAmount)
	if err != nil {
		h.r.c.log.Error("Channel was not stored", "channel", o.Channel, "error", err)
		return
	}
	if changed {
		h.r.c.log.Warn("This node's store is older than its vouchers; they are known again", "order", o.ID, "channel",
			o.Channel, "signed", share)
	}
	if a := h.at(); a != nil && share > a.Lease().Signed {
		h.event(ctx, market.VoucherSeen{LeaseAmount: share})
	}
}

// unknown tells the machine that the provider does not know a lease that it accepted.
func (h *hire) unknown(ctx context.Context, err error) {
	var refusal *market.Refusal
	if errors.As(err, &refusal) && refusal.Code == market.CodeUnknownLease {
		h.event(ctx, market.LeaseUnknown{})
	}
}

// repeat sends the last Payment of each lease with a provider that was reached again: it may have lost it.
func (s *session) repeat(ctx context.Context) {
	for _, r := range s.c.all() {
		a, o := r.hire.at(), r.snapshot()
		if a == nil || o.Provider != s.provider || o.Lease == nil {
			continue
		}
		m := a.Lease()
		if m.Terminal() || m.Signed == 0 {
			continue
		}
		e := market.SignPayment{LeaseAmount: m.Signed, ReceiptSeq: m.ReceiptSeq}
		if err := r.hire.pay(ctx, o, m, e); err != nil && ctx.Err() == nil {
			s.c.log.Debug("Payment was not repeated", "order", r.row.ID, "error", err) // the machine repeats it as well
		}
	}
}

// now is the lease as its actor has it, for any goroutine: an order whose lease was refused gets another actor.
// Call it once there is one.
func (h *hire) now() market.Lease {
	return h.at().Lease()
}
