package escrowtest

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// payout: an account that does not exist is created by the smallest sum that the ledger allows, in one claim or by
// several channels together, and not by less.
func payout(t *testing.T, w *World) {
	minimum := w.rent(0)
	pay := func(ids ...market.ChannelID) escrow.Intent {
		in, _ := escrow.PayIntent(ids, minimum)
		return in
	}
	alone := addr("payee of payout, alone")
	id, _ := w.Open(t, alone, deciSOL, 0)
	if r := w.Do(t, w.FeePayer, claim(id, minimum-1)); r.State != escrow.Failed ||
		!strings.Contains(r.Err, "InsufficientFundsForRent") {
		t.Errorf("a claim of one lamport less than %d: %+v", minimum, r)
	}
	w.must(t, w.FeePayer, claim(id, minimum))
	equal(t, "payee alone", w.balance(t, alone), minimum)

	payee := addr("payee of payout, together")
	var ids []market.ChannelID
	for i, sum := range []market.Amount{minimum / 2, minimum/2 - 1} {
		terms, id := w.terms(t, payee, uint64(100*i+1))
		w.must(t, w.Payer, escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: deciSOL, Open: &terms})
		w.must(t, w.FeePayer, record(id, sum))
		ids = append(ids, id)
	}
	if r := w.Do(t, w.FeePayer, pay(ids...)); r.State != escrow.Failed ||
		!strings.Contains(r.Err, "InsufficientFundsForRent") {
		t.Errorf("two channels of together one lamport less than %d: %+v", minimum, r)
	}
	w.must(t, w.FeePayer, record(ids[1], minimum-minimum/2))
	w.must(t, w.FeePayer, pay(ids...))
	equal(t, "payee of two channels", w.balance(t, payee), minimum)
	w.must(t, w.FeePayer, pay(ids[1])) // paid: nothing is left to do
	equal(t, "payee of two channels, paid again", w.balance(t, payee), minimum)
}
