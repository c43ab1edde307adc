package escrowtest

import (
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// consentedJob is a Channel whose customer is gone: the payee's node records, brings its own Release and pays both, and
// takes the rent home for him.
func consentedJob(t *testing.T, w *World) {
	payee := addr("payee of consentedJob")
	w.Fund(payee, w.rent(0))
	payer0, fee0 := w.balance(t, w.PayerKey), w.balance(t, w.FeePayerKey)
	id, open := w.Open(t, payee, deciSOL, 0)
	rec := w.must(t, w.FeePayer, record(id, 7_000_000))
	h, err := w.Payer.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release := func(final uint64, by string) *escrow.SignedRelease {
		r := escrow.Release{Channel: id, Final: 7_000_000, Expires: h.Clock.Unix() + 900}
		r.Final += market.Amount(final)
		s := r.Sign(key(by))
		return &s
	}
	// More than vouchers have proven, and another's signature, end nothing.
	w.fails(t, w.FeePayer, escrow.Intent{Op: escrow.OpFinish, Channel: id, Nonce: 1, Release: release(1, "release")},
		escrow.CodeOverSettled)
	if r := w.Do(t, w.FeePayer,
		escrow.Intent{Op: escrow.OpFinish, Channel: id, Nonce: 2,
			Release: release(0, "voucher")}); r.State != escrow.Failed {
		t.Fatalf("a foreign release sealed: %+v", r)
	}
	fin := w.must(t, w.FeePayer,
		escrow.Intent{Op: escrow.OpFinish, Channel: id, Nonce: 3, Release: release(0, "release")})
	equal(t, "payee", w.balance(t, payee), w.rent(0)+7_000_000)
	got := w.channel(t, id, escrow.Confirmed)
	if got.Status != escrow.StatusSealed || got.Settled != 7_000_000 || got.Refunded != deciSOL-7_000_000 {
		t.Errorf("after consent: %s, settled %d, refunded %d", got.Status, got.Settled, got.Refunded)
	}
	w.Warp(escrow.ReopenWindow + 40)
	back := w.must(t, w.FeePayer, escrow.Intent{Op: escrow.OpReclaim, Channel: id})
	equal(t, "payer, who did nothing", w.balance(t, w.PayerKey), payer0-7_000_000-market.Amount(open.Fee))
	equal(t, "fee payer", w.balance(t, w.FeePayerKey), fee0-market.Amount(rec.Fee+fin.Fee+back.Fee))
}

// topUpTotal: intents that name the same total, or a lower one, add nothing, whatever their keys.
func topUpTotal(t *testing.T, w *World) {
	id, _ := w.Open(t, addr("payee of topUpTotal"), deciSOL, 0)
	for nonce, total := range []uint64{1_500, 1_500, 1_000, 2_000} {
		in := escrow.Intent{Op: escrow.OpTopUp, Channel: id, Nonce: uint64(nonce), Amount: market.Amount(total),
			Total: deciSOL + market.Amount(total)}
		if total == 1_500 && nonce == 0 || total == 2_000 {
			w.must(t, w.Payer, in)
			continue
		}
		if err := w.Payer.Submit(t.Context(), in); err != nil { // done, or refused as a repeat: the deposit tells
			t.Fatal(err)
		}
	}
	if got := w.channel(t, id, escrow.Confirmed).Deposit; got != deciSOL+2_000 {
		t.Errorf("deposit %d, want %d", got, deciSOL+2_000)
	}
}
