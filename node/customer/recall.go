package customer

import (
	"context"
	"errors"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// recall takes back vouchers of our own that the provider holds and our store does not know: it was put back to an
// older copy.
func (r *orderRun) recall(ctx context.Context, o orderRow, s market.Status) {
	v, err := escrow.DecodeVoucher(s.Voucher[:])
	if err != nil || s.LeaseAmount == 0 {
		return // an older peer, or nothing is paid yet
	}
	r.c.mu.Lock()
	ch := r.c.channels[o.Channel]
	r.c.mu.Unlock()
	if ch == nil {
		return
	}
	changed, share := false, market.Amount(0)
	err = r.c.enterBooks(ctx, ch, func(e *entry) error {
		was := e.Account
		e.Account = was.Recall(escrow.Signed{Voucher: v, Sig: s.VoucherSig}, s.Lease, s.LeaseAmount)
		share = e.Account.Leases[s.Lease].Paid
		changed = e.Account.Newest != was.Newest || share != was.Leases[s.Lease].Paid
		return nil
	})
	if err != nil {
		r.c.log.Error("Channel was not stored", "channel", o.Channel, "error", err)
		return
	}
	if changed {
		r.c.log.Warn("This node's store is older than its vouchers; they are known again", "order", o.ID, "channel",
			o.Channel, "signed", share)
	}
	r.mu.Lock()
	a := r.actor
	r.mu.Unlock()
	if a != nil && share > a.Lease().Signed {
		r.event(ctx, market.VoucherSeen{LeaseAmount: share})
	}
}

// unknown tells the machine that the provider does not know a lease that it accepted.
func (r *orderRun) unknown(ctx context.Context, err error) {
	var refusal *market.Refusal
	if errors.As(err, &refusal) && refusal.Code == market.CodeUnknownLease {
		r.event(ctx, market.LeaseUnknown{})
	}
}

// repeat sends the last Payment of each lease with a provider that was reached again: it may have lost it.
func (c *Customer) repeat(ctx context.Context, provider market.NodeID) {
	c.mu.Lock()
	var mine []*orderRun
	for _, r := range c.runs {
		r.mu.Lock()
		if r.row.Provider == provider && r.row.Lease != nil && r.actor != nil && !r.actor.Lease().Terminal() {
			mine = append(mine, r)
		}
		r.mu.Unlock()
	}
	c.mu.Unlock()
	for _, r := range mine {
		m := r.leaseNow()
		if m.Signed == 0 {
			continue
		}
		e := market.SignPayment{LeaseAmount: m.Signed, OwnMS: m.Meter.BillableMS, ReceiptSeq: m.ReceiptSeq}
		if err := r.pay(ctx, r.snapshot(), m, e); err != nil && ctx.Err() == nil {
			c.log.Debug("Payment was not repeated", "order", r.row.ID, "error", err) // the machine repeats it as well
		}
	}
}

// leaseNow is the lease as its actor has it, for any goroutine: an order whose lease was refused gets another actor.
// Call it once there is one.
func (r *orderRun) leaseNow() market.Lease {
	r.mu.Lock()
	a := r.actor
	r.mu.Unlock()
	return a.Lease()
}
