package solana

import (
	"context"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// Needs says what an intent would take now; it submits nothing. It is what Submit compares for opens, top-ups and
// transfers. Errors: chain-unreachable.
func (l *Ledger) Needs(ctx context.Context, in escrow.Intent) (n escrow.Needs, err error) {
	if n.Balance, err = l.Balance(ctx, l.address); err != nil {
		return n, err
	}
	n.Amount, n.ClaimFee = in.Amount, in.ClaimFee
	n.Fees = l.outflow(in) - in.Amount - in.ClaimFee
	switch in.Op {
	case escrow.OpTransfer: // the account may be emptied; the chain refuses a rest below the minimum
		if !in.All {
			n.Fees = l.maxFee(1, 0)
		}
	case escrow.OpOpen:
		if n.Storage, err = l.rentMinimum(ctx, escrow.ChannelLen); err != nil {
			return n, err
		}
		fallthrough
	default:
		if n.Minimum, err = l.rentMinimum(ctx, 0); err != nil {
			return n, err
		}
	}
	l.mu.Lock()
	for key, r := range l.recs {
		if s := r.Result.State; key != in.Key() && (s < escrow.ConfirmedTx || s == escrow.Expired) {
			n.UnderWay += l.outflow(r.Intent)
		}
	}
	l.mu.Unlock()
	n.Total = n.Amount + n.ClaimFee + n.Fees + n.Storage + n.Minimum + n.UnderWay
	return n, nil
}

// affordable refuses what the account cannot pay. Intents that only cost a fee are not checked: they must be durable
// whatever the chain says.
func (l *Ledger) affordable(ctx context.Context, in escrow.Intent) error {
	if in.Op != escrow.OpOpen && in.Op != escrow.OpTopUp && in.Op != escrow.OpTransfer {
		return nil
	}
	n, err := l.Needs(ctx, in)
	if err != nil || n.Short() == 0 {
		return err
	}
	return &market.Error{
		Code: market.CodeFundsShort, Op: "submitting " + in.Op.String(), Kind: market.KindConflict,
		Detail: fmt.Sprintf("account %s holds %s SOL; this needs %s SOL, %s more", l.address, n.Balance.SOL(),
			n.Total.SOL(), n.Short().SOL()),
		Hint: "send SOL to " + l.address.String(),
	}
}
