package market

import (
	"testing"
	"time"
)

// TestLease_LastClaim_SmallOvershootIsSigned: a customer that slept signs a last claim a little above one tick, so that
// a job that ended between two looks leaves no debt; what is further above stays unsigned.
func TestLease_LastClaim_SmallOvershootIsSigned(t *testing.T) {
	t.Parallel()
	terms := testTerms()
	terms.Tick = 2 * time.Second
	for ms, signed := range map[uint64]Amount{2052: 2052, 2500: 2500, 2600: 2500, 20_000: 2500} {
		// its own meter saw nothing of the job
		b := newBench(t, CustomerSide, terms).do(Placed{}, DecisionSeen{Accepted: true})
		b.after(5 * time.Second).do(b.receipt(1, ms, Closing))
		if b.l.Signed != signed {
			t.Errorf("of a last claim of %d ms %d are signed, want %d", ms, b.l.Signed, signed)
		}
	}
	b := newBench(t, CustomerSide, terms).do(Placed{}, DecisionSeen{Accepted: true})
	if b.do(b.receipt(1, 2052, Running)); b.l.Signed != 2000 {
		t.Errorf("of a claim that is not the last one %d are signed", b.l.Signed)
	}
}

// TestLease_ReceiptsOfAnOlderStore_ArePaidAgain: a provider that goes on from an older copy of its store is told again
// what it was paid, and not blamed.
func TestLease_ReceiptsOfAnOlderStore_ArePaidAgain(t *testing.T) {
	t.Parallel()
	b := bought(t, testTerms()).after(5 * time.Second)
	wall := func(r ReceiptSeen) ReceiptSeen { r.Receipt.Wall = b.now; return r }
	b.do(wall(b.receipt(8, 5000, Running)))
	for i, r := range []ReceiptSeen{b.receipt(3, 2000, Running), b.receipt(4, 3000, Running),
		b.receipt(8, 4000, Running), b.receipt(8, 4500, Paused)} {
		b.after(3 * time.Second).do(wall(r))
		if p, ok := emitted[SignPayment](b); !ok || p.LeaseAmount < 5000 {
			t.Errorf("receipt %d of the older store is not answered with the last payment", i)
		}
	}
	if b.l.Code != "" || b.l.Signed < 5000 || b.l.Claim < 5000 {
		t.Errorf("%s: signed %d, claim %d", b.l.Code, b.l.Signed, b.l.Claim)
	}
}

// TestLease_RepeatedReceipt_IsOneClaim: the same Receipt, sent three times as peers do when they meet again, is no
// dispute.
func TestLease_RepeatedReceipt_IsOneClaim(t *testing.T) {
	t.Parallel()
	b := bought(t, testTerms()).after(5 * time.Second)
	r := b.receipt(1, 40_000, Running)
	for range 5 {
		b.after(time.Second).do(r)
	}
	if b.l.Code != "" {
		t.Errorf("ended as %s", b.l.Code)
	}
}

// TestLease_OwnVoucher_IsKnownAgain: what this node signed and its store forgot is taken back, and the time that it
// paid for is its own gap.
func TestLease_OwnVoucher_IsKnownAgain(t *testing.T) {
	t.Parallel()
	b := bought(t, testTerms()).after(5 * time.Second)
	b.do(b.receipt(1, 5000, Running), Restarted{BootMS: b.boot()}, VoucherSeen{LeaseAmount: 60_000})
	b.after(5 * time.Second).do(b.receipt(9, 58_000, Running))
	if b.l.Code != "" || b.l.Over != 0 || b.l.Signed != 60_000 || b.l.Owed() < 55_000 {
		t.Errorf("%s: signed %d, own meter %d, over %d", b.l.Code, b.l.Signed, b.l.Owed(), b.l.Over)
	}
	if b.do(VoucherSeen{LeaseAmount: 1}); b.l.Signed != 60_000 {
		t.Errorf("signed fell to %d", b.l.Signed)
	}
}
