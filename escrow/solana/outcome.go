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
	// A second landing, refused as it should be: the next build looks at the chain, and its answer is what counts.
	case r.Tries < maxTries && (op == escrow.OpTopUp && f.Code == escrow.CodeNotMonotonic || op == escrow.OpOpen &&
		f.taken()):
		r.Tries++
		r.Result.State = escrow.Planned
		return r
	case op == escrow.OpTransfer && r.Seed != "" && !r.Moving && f.taken():
		return ticketed(r) // another signature of the same made it
	case op == escrow.OpTransfer && r.Moving && !r.Back:
		return giveBack(r, f, l.reason(r, f))
	// The next build reads the Channel: settled ≥ ours, sealed, or gone is done; a lost race is tried once more,
	// without limit only if done.
	case r.Tries < 3 && (op == escrow.OpClaim || op == escrow.OpRecord) && f.Code == escrow.CodeNotMonotonic,
		r.Tries < 3 && op == escrow.OpFinish && (f.Code == escrow.CodeBadStatus || f.Code == escrow.CodeLegsOpen):
		r.Tries++
		r.Result.State = escrow.Planned
		return r
	case op == escrow.OpFinish && !r.SkipPayee && strings.Contains(f.Text, "InsufficientFundsForRent"):
		r.SkipPayee, r.Result.State = true, escrow.Planned // the payee's leg must not hold up the payer's
		return r
	}
	return fail(r, f.Code, l.reason(r, f))
}

// maxTries bounds how often a transaction that the chain refused as done before is looked at again.
const maxTries = 8

// reason is what a failure says to a person.
func (l *Ledger) reason(r record, f txFailure) string {
	switch {
	case isBroke(f):
		return l.broke("sending "+r.Intent.Op.String(), f).Error()
	case f.Code != 0:
		return escrow.CodeName(f.Code)
	}
	return f.Text
}

// taken reports System's refusal to create what is there, its error 0.
func (f txFailure) taken() bool { return strings.Contains(f.Text, `"Custom":0}`) }

func isBroke(f txFailure) bool {
	return strings.Contains(f.Text, "AccountNotFound") || strings.Contains(f.Text, "InsufficientFundsForFee")
}

func (l *Ledger) broke(op string, f txFailure) error {
	return &market.Error{
		Code: market.CodeFundsShort, Op: op, Kind: market.KindConflict,
		Detail: "account " + l.address.String() + " cannot pay the fee: " + f.Text,
		Hint:   "send SOL to " + l.address.String(),
	}
}

// status is one entry of getSignatureStatuses.
type status struct {
	Slot   uint64          `json:"slot"`
	Err    json.RawMessage `json:"err"`
	Commit string          `json:"confirmationStatus"`
}

// poll reads the statuses of all sent intents from one endpoint. What it does not know and calls too old is proven by
// expire.
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
	var newest final
	var seen []*status
	err := l.rpc.pinned("reading statuses", func(one caller) (err error) {
		if newest, err = finalised(ctx, one); err != nil {
			return err
		}
		seen, _, err = statuses(ctx, one, sent, false)
		return err
	})
	if err != nil {
		return err
	}
	for i, r := range sent {
		next := r
		switch {
		case seen[i] != nil:
			next = l.advance(r, seen[i])
		case newest.Height > r.LastValid:
			next = l.expire(ctx, r)
		default:
			next.Result.State = escrow.Sent // a confirmed one that vanished is sent again
		}
		if next.Result != r.Result || next.Tries != r.Tries || next.Moving != r.Moving {
			if err := l.commit(next); err != nil {
				return err
			}
		}
	}
	return nil
}

// statuses reads one entry per record, nil where the chain does not know the transaction, and the lowest slot that they
// are of. history also searches what is older than an endpoint's status cache.
func statuses(ctx context.Context, one caller, sent []record, history bool) (all []*status, slot uint64, err error) {
	for batch := range slices.Chunk(sent, statusesCall) {
		sigs := make([]string, len(batch))
		for i, r := range batch {
			sigs[i] = r.Result.Signature
		}
		var out struct {
			Context contextSlot `json:"context"`
			Value   []*status   `json:"value"`
		}
		if err := one(ctx, &out, "getSignatureStatuses", sigs,
			map[string]any{"searchTransactionHistory": history}); err != nil {
			return nil, 0, err
		}
		if len(out.Value) != len(batch) {
			return nil, 0, escrow.ErrMalformed
		}
		if all == nil || out.Context.Slot < slot {
			slot = out.Context.Slot
		}
		all = append(all, out.Value...)
	}
	return all, slot, nil
}

// advance applies what the chain says of a record's transaction.
func (l *Ledger) advance(r record, s *status) record {
	if s.Commit != "confirmed" && s.Commit != "finalized" {
		return r
	}
	if f, failed := parseFailure(s.Err); failed {
		if s.Commit != "finalized" {
			return r // a fork could still undo the failure
		}
		r.Result.Burnt += r.Result.Fee // a transaction that failed on the chain is paid for
		return l.failed(r, f)
	}
	if r.Intent.Op == escrow.OpTransfer && r.Seed != "" && !r.Moving {
		return ticketed(r)
	}
	if r.Back && s.Commit == "finalized" {
		return fail(r, r.Result.Code, r.Why)
	}
	if r.Back {
		return r
	}
	r.Result.State, r.Result.Slot = escrow.ConfirmedTx, s.Slot
	if s.Commit == "finalized" {
		return finish(r)
	}
	return r
}
