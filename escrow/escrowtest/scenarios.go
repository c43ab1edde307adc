package escrowtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// sol is 0.1 SOL, a deposit that outweighs fees and rent.
const deciSOL market.Amount = 100_000_000

// paidJob is open with claim fee, six ticks, claim, unilateral close, finish at the deadline, reclaim: every balance to
// the lamport.
func paidJob(t *testing.T, w *World) {
	payee := addr("payee of paidJob")
	w.Fund(payee, w.rent(0))
	payer0, fee0 := w.balance(t, w.PayerKey), w.balance(t, w.FeePayerKey)
	id, open := w.Open(t, payee, deciSOL, 50_000)
	rent := w.rent(escrow.ChannelLen)
	equal(t, "payer after open", w.balance(t, w.PayerKey), payer0-deciSOL-50_000-rent-market.Amount(open.Fee))
	equal(t, "fee payer after open", w.balance(t, w.FeePayerKey), fee0+50_000)

	cs := w.channel(t, id, escrow.Confirmed)
	payer, payeeBooks := escrow.NewAccount(cs, escrow.Confirmed), escrow.NewAccount(cs, escrow.Confirmed)
	lease := market.LeaseID{1}
	payer, err := payer.AddLease(lease, deciSOL, 1)
	if err != nil {
		t.Fatal(err)
	}
	if payeeBooks, err = payeeBooks.AddLease(lease, deciSOL, 1); err != nil {
		t.Fatal(err)
	}
	const tick = 7_000_001
	for i := range market.Amount(6) {
		var p market.Payment
		if payer, p, err = payer.Sign(key("voucher"), lease, (i+1)*tick); err != nil {
			t.Fatal(err)
		}
		if payeeBooks, _, err = payeeBooks.TakePayment(p); err != nil {
			t.Fatal(err)
		}
		payeeBooks = payeeBooks.Owe(lease, (i+1)*tick)
	}
	earned, ok := payeeBooks.Earned()
	if !ok || earned.Amount != 6*tick {
		t.Fatalf("earned %d, want %d", earned.Amount, 6*tick)
	}
	c := w.must(t, w.FeePayer, escrow.Intent{Op: escrow.OpClaim, Channel: id, Nonce: uint64(earned.Amount),
		Voucher: &earned})
	equal(t, "payee after claim", w.balance(t, payee), w.rent(0)+6*tick)
	equal(t, "fee payer after claim", w.balance(t, w.FeePayerKey), fee0+50_000-market.Amount(c.Fee))

	rc := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpRequestClose, Channel: id})
	if got := w.channel(t, id, escrow.Confirmed); got.Status != escrow.StatusClosing || got.Deadline == 0 {
		t.Fatalf("after request_close: %s until %d", got.Status, got.Deadline)
	}
	w.fails(t, w.Payer, escrow.Intent{Op: escrow.OpFinish, Channel: id}, escrow.CodeTooEarly)
	w.Advance(time.Hour + time.Minute)
	// A voucher stays valid past the deadline until someone seals.
	late := w.must(t, w.FeePayer, record(id, 6*tick+5))
	fin := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpFinish, Channel: id, Nonce: 1})
	equal(t, "payee after finish", w.balance(t, payee), w.rent(0)+6*tick+5)
	w.Warp(escrow.ReopenWindow + 40)
	rec := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpReclaim, Channel: id})
	fees := market.Amount(open.Fee + rc.Fee + fin.Fee + rec.Fee)
	equal(t, "payer at the end", w.balance(t, w.PayerKey), payer0-50_000-6*tick-5-fees)
	equal(t, "fee payer at the end", w.balance(t, w.FeePayerKey), fee0+50_000-market.Amount(c.Fee+late.Fee))
	if got := w.channel(t, id, escrow.Confirmed).Status; got != escrow.StatusGone {
		t.Errorf("after reclaim: %s", got)
	}
}

// releasedJob is open, two Leases at once, Release, finish in one transaction.
func releasedJob(t *testing.T, w *World) {
	payee := addr("payee of releasedJob")
	w.Fund(payee, w.rent(0))
	payer0 := w.balance(t, w.PayerKey)
	id, open := w.Open(t, payee, deciSOL, 0)
	cs := w.channel(t, id, escrow.Confirmed)
	books := escrow.NewAccount(cs, escrow.Confirmed)
	for i, owed := range []market.Amount{10_000_000, 3_000_001} {
		lease := market.LeaseID{byte(i)}
		var err error
		if books, err = books.AddLease(lease, deciSOL/2, 1); err != nil {
			t.Fatal(err)
		}
		books = books.Owe(lease, owed)
	}
	books = books.EndLease(market.LeaseID{0}, 10_000_000).EndLease(market.LeaseID{1}, 3_000_001)
	h, err := w.Payer.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, rel, err := books.MakeRelease(key("release"), h.Clock)
	if err != nil {
		t.Fatal(err)
	}
	forged := rel.Release.Sign(key("voucher"))
	if r := w.Do(t, w.Payer,
		escrow.Intent{Op: escrow.OpFinish, Channel: id, Nonce: 1, Release: &forged}); r.State != escrow.Failed {
		t.Fatalf("a forged release finished: %+v", r)
	}
	fin := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpFinish, Channel: id, Nonce: 2, Release: &rel})
	equal(t, "payee", w.balance(t, payee), w.rent(0)+13_000_001)
	equal(t, "payer", w.balance(t, w.PayerKey),
		payer0-13_000_001-w.rent(escrow.ChannelLen)-market.Amount(open.Fee+fin.Fee))
	got := w.channel(t, id, escrow.Confirmed)
	if got.Status != escrow.StatusSealed || got.Paid != 13_000_001 || got.Refunded != deciSOL-13_000_001 {
		t.Errorf("after finish: %s, paid %d, refunded %d", got.Status, got.Paid, got.Refunded)
	}
	w.fails(t, w.Payer, escrow.Intent{Op: escrow.OpReclaim, Channel: id, Nonce: 1}, escrow.CodeTooEarly)
	// Nothing is signed for a sealed Channel any more.
	w.fails(t, w.FeePayer, claim(id, 20_000_000), escrow.CodeBadStatus)
}

func replay(t *testing.T, w *World) {
	payee := addr("payee of replay")
	w.Fund(payee, w.rent(0))
	id, _ := w.Open(t, payee, deciSOL, 0)
	other, _ := w.Open(t, addr("other payee"), deciSOL, 0)
	w.must(t, w.FeePayer, claim(id, 5_000_000))
	// Lower and equal vouchers have nothing to add: done, not paid twice.
	if r := w.Do(t, w.FeePayer, claim(id, 4_000_000)); r.State != escrow.Final {
		t.Errorf("lower voucher: %+v, want final without effect", r)
	}
	equal(t, "payee", w.balance(t, payee), w.rent(0)+5_000_000)
	w.fails(t, w.FeePayer, claim(id, deciSOL+1), escrow.CodeOverDeposit)
	forged := escrow.Voucher{Channel: id, Amount: 6_000_000}.Sign(key("release"))
	in := escrow.Intent{Op: escrow.OpRecord, Channel: id, Nonce: 6_000_000, Voucher: &forged}
	if r := w.Do(t, w.FeePayer, in); r.State != escrow.Failed {
		t.Errorf("forged voucher: %+v", r)
	}
	// A voucher names its Channel: it cannot even be submitted for another.
	in = escrow.Intent{Op: escrow.OpClaim, Channel: other, Nonce: 1, Voucher: voucher(id, 7_000_000)}
	if err := w.FeePayer.Submit(t.Context(), in); err == nil {
		if r := w.Do(t, w.FeePayer, in); r.State != escrow.Failed {
			t.Errorf("voucher of another channel: %+v", r)
		}
	}
	if got := w.channel(t, id, escrow.Confirmed); got.Settled != 5_000_000 || got.Paid != 5_000_000 {
		t.Errorf("settled %d, paid %d, want 5,000,000 each", got.Settled, got.Paid)
	}
}

func idempotent(t *testing.T, w *World) {
	id, _ := w.Open(t, addr("payee of idempotent"), deciSOL, 0)
	in := escrow.Intent{Op: escrow.OpTopUp, Channel: id, Nonce: 1, Amount: 1_000}
	for range 3 {
		w.must(t, w.Payer, in)
	}
	if got := w.channel(t, id, escrow.Confirmed).Deposit; got != deciSOL+1_000 {
		t.Errorf("deposit %d after one top-up submitted three times, want %d", got, deciSOL+1_000)
	}
	in.Nonce = 2
	w.must(t, w.Payer, in)
	if got := w.channel(t, id, escrow.Confirmed).Deposit; got != deciSOL+2_000 {
		t.Errorf("deposit %d after a second top-up, want %d", got, deciSOL+2_000)
	}
	if _, ok, err := w.Payer.Result(t.Context(), "no such key"); ok || err != nil {
		t.Errorf("unknown key: %v, %v", ok, err)
	}
	w.Warp(40)
	if got := w.channel(t, id, escrow.Finalised).Deposit; got != deciSOL+2_000 {
		t.Errorf("finalised deposit %d, want %d", got, deciSOL+2_000)
	}
}

// unfundedPayee: a payout account below the rent minimum cannot be paid, the payer's refund does not wait for it.
func unfundedPayee(t *testing.T, w *World) {
	payee := addr("payee of unfundedPayee")
	payer0 := w.balance(t, w.PayerKey)
	id, open := w.Open(t, payee, deciSOL, 0)
	w.must(t, w.FeePayer, record(id, 1_000))
	if r := w.Do(t, w.FeePayer, claim(id, 2_000)); r.State != escrow.Failed ||
		!strings.Contains(r.Err, "InsufficientFundsForRent") {
		t.Errorf("claim for an account below the rent minimum: %+v", r)
	}
	rc := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpRequestClose, Channel: id})
	w.Advance(time.Hour + time.Minute)
	fin := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpFinish, Channel: id})
	got := w.channel(t, id, escrow.Confirmed)
	if got.Refunded != deciSOL-1_000 || got.Paid != 0 || got.Settled != 1_000 {
		t.Errorf("refunded %d, paid %d, settled %d", got.Refunded, got.Paid, got.Settled)
	}
	equal(t, "payer", w.balance(t, w.PayerKey),
		payer0-1_000-w.rent(escrow.ChannelLen)-market.Amount(open.Fee+rc.Fee+fin.Fee))
	// Nothing is forfeited: funded, the account is paid what was recorded.
	w.Fund(payee, w.rent(0))
	w.must(t, w.FeePayer, claim(id, 1_000))
	equal(t, "payee", w.balance(t, payee), w.rent(0)+1_000)
}

func shortOfFunds(t *testing.T, w *World) {
	terms, id := w.Terms(t, addr("payee of shortOfFunds"))
	err := w.Payer.Submit(t.Context(), escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: 1_000_000_000_000,
		Open: &terms})
	if market.CodeOf(err) != market.CodeFundsShort || !strings.Contains(err.Error(), w.PayerKey.String()) ||
		!strings.Contains(err.Error(), "needs 1000.") {
		t.Errorf("open beyond the balance: %v; want funds-short with account and sum", err)
	}
	if got := w.channel(t, id, escrow.Confirmed).Status; got != escrow.StatusGone {
		t.Errorf("channel is %s", got)
	}
}

func probe(t *testing.T, w *World) {
	id, _ := w.Open(t, addr("payee of probe"), deciSOL, 0)
	if err := w.FeePayer.Probe(t.Context(), *voucher(id, 1)); err != nil {
		t.Errorf("good voucher: %v", err)
	}
	w.must(t, w.FeePayer, record(id, 5))
	if err := w.FeePayer.Probe(t.Context(), *voucher(id, 5)); err != nil {
		t.Errorf("recorded voucher: %v", err)
	}
	for name, v := range map[string]escrow.Signed{
		"wrong key":    escrow.Voucher{Channel: id, Amount: 9}.Sign(key("release")),
		"over deposit": *voucher(id, deciSOL+1),
		"no channel":   *voucher(market.ChannelID{5}, 9),
	} {
		if err := w.FeePayer.Probe(t.Context(), v); market.CodeOf(err) != market.CodeVoucherUnredeemable {
			t.Errorf("%s: %v, want voucher-unredeemable", name, err)
		}
	}
}

func watch(t *testing.T, w *World) {
	terms, id := w.Terms(t, addr("payee of watch"))
	in := escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: deciSOL, Open: &terms}
	if err := w.Payer.Submit(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), w.SettleTimeout)
	defer cancel()
	done := errors.New("seen")
	err := w.Payer.Watch(ctx, func(u escrow.Update) error {
		if u.Channel == id && u.Intent == in.Key() && u.Result.State >= escrow.ConfirmedTx &&
			u.Result.State != escrow.Failed {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Errorf("watch ended with %v", err)
	}
}

func transferAll(t *testing.T, w *World) {
	to := addr("somebody of transferAll")
	before := w.balance(t, w.PayerKey)
	a := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: to, Amount: 2_000_000})
	equal(t, "receiver", w.balance(t, to), 2_000_000)
	b := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpTransfer, Nonce: 2, To: to, All: true})
	equal(t, "sender", w.balance(t, w.PayerKey), 0)
	equal(t, "receiver", w.balance(t, to), before-market.Amount(a.Fee+b.Fee))
}
