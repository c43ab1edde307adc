package solana

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// failed decides what a failure means: done, another try without the payee's leg, or the end.
func (l *Ledger) failed(r record, f txFailure) record {
	op := r.Intent.Op
	switch {
	// The next build reads the Channel: settled ≥ ours, sealed, or gone is done; a lost race is tried once more, without limit only if done.
	case r.Tries < 3 && (op == escrow.OpClaim || op == escrow.OpRecord) && f.Code == escrow.CodeNotMonotonic,
		r.Tries < 3 && op == escrow.OpFinish && (f.Code == escrow.CodeBadStatus || f.Code == escrow.CodeLegsOpen):
		r.Tries++
		r.Result.State = escrow.Planned
		return r
	case op == escrow.OpFinish && !r.SkipPayee && strings.Contains(f.Text, "InsufficientFundsForRent"):
		r.SkipPayee, r.Result.State = true, escrow.Planned // the payee's leg must not hold up the payer's
		return r
	case isBroke(f):
		return fail(r, f.Code, l.broke("sending "+op.String(), f).Error())
	case f.Code != 0:
		return fail(r, f.Code, escrow.CodeName(f.Code))
	}
	return fail(r, 0, f.Text)
}

func isBroke(f txFailure) bool {
	return strings.Contains(f.Text, "AccountNotFound") || strings.Contains(f.Text, "InsufficientFundsForFee")
}

func (l *Ledger) broke(op string, f txFailure) error {
	return &market.Error{
		Code: "funds-short", Op: op, Kind: market.KindConflict, Detail: "account " + l.address.String() + " cannot pay the fee: " + f.Text,
		Hint: "send SOL to " + l.address.String(),
	}
}

// status is one entry of getSignatureStatuses.
type status struct {
	Slot   uint64          `json:"slot"`
	Err    json.RawMessage `json:"err"`
	Commit string          `json:"confirmationStatus"`
}

// poll reads the statuses of all sent intents. The finalised height is read before the statuses: a transaction that lands in between is then
// seen by them, so "absent and too old" is never a race. Both are of one endpoint: another one that lags would not know what has landed.
func (l *Ledger) poll(ctx context.Context) error {
	var sent []record
	for _, r := range l.work() {
		if r.Result.State == escrow.Sent || r.Result.State == escrow.ConfirmedTx {
			sent = append(sent, r)
		}
	}
	if len(sent) == 0 {
		return nil
	}
	var height uint64
	var seen []*status
	err := l.rpc.pinned("reading statuses", func(one caller) (err error) {
		if height, err = heightOf(ctx, one, escrow.Finalised); err != nil {
			return err
		}
		seen, err = statuses(ctx, one, sent)
		return err
	})
	if err != nil {
		return err
	}
	for i, r := range sent {
		next := l.advance(r, seen[i], height)
		if next.Result != r.Result || next.Tries != r.Tries {
			if err := l.commit(next); err != nil {
				return err
			}
		}
	}
	return nil
}

// statuses reads one entry per record, nil where the chain does not know the transaction.
func statuses(ctx context.Context, one caller, sent []record) (all []*status, err error) {
	for batch := range slices.Chunk(sent, statusesCall) {
		sigs := make([]string, len(batch))
		for i, r := range batch {
			sigs[i] = r.Result.Signature
		}
		var out struct {
			Value []*status `json:"value"`
		}
		if err := one(ctx, &out, "getSignatureStatuses", sigs, map[string]any{"searchTransactionHistory": true}); err != nil {
			return nil, err
		}
		if len(out.Value) != len(batch) {
			return nil, escrow.ErrMalformed
		}
		all = append(all, out.Value...)
	}
	return all, nil
}

// advance applies one status to a record.
func (l *Ledger) advance(r record, s *status, finalisedHeight uint64) record {
	switch {
	case s == nil && finalisedHeight > r.LastValid:
		r.Result.State = escrow.Expired
		r.Tries++
	case s == nil:
		r.Result.State = escrow.Sent // a confirmed one that vanished is sent again
	case s.Commit != "confirmed" && s.Commit != "finalized":
	default:
		if f, failed := parseFailure(s.Err); failed {
			if s.Commit != "finalized" {
				return r // a fork could still undo the failure
			}
			return l.failed(r, f)
		}
		r.Result.State, r.Result.Slot = escrow.ConfirmedTx, s.Slot
		if s.Commit == "finalized" {
			return finish(r)
		}
	}
	return r
}
