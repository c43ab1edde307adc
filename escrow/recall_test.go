package escrow_test

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// TestRecall_OnlyWhatWasSigned: a payer takes back its own newer voucher, each lease's share as far as the voucher
// covers them all, and nothing that it did not sign.
func TestRecall_OnlyWhatWasSigned(t *testing.T) {
	old, _ := pair(t, 1000, 900, 1)
	newer, _, err := old.Sign(testKey(1), lease(1), 400)
	if err != nil {
		t.Fatal(err)
	}
	got := old.Recall(newer.Newest, lease(1), 400)
	if got.Newest != newer.Newest || got.Leases[lease(1)].Paid != 400 {
		t.Errorf("recalled %+v", got)
	}
	forged := escrow.Voucher{Channel: old.Channel, Amount: 400}.Sign(testKey(2))
	for name, a := range map[string]escrow.Account{
		"forged":       old.Recall(forged, lease(1), 400),
		"more than it": old.Recall(newer.Newest, lease(1), 401),
		"over the cap": old.Recall(newer.Newest, lease(1), 901),
		"other lease":  old.Recall(newer.Newest, lease(7), 400),
	} {
		if a.Newest != old.Newest || a.Leases[lease(1)].Paid != 0 {
			t.Errorf("%s: taken: %+v", name, a)
		}
	}
	if a := newer.Recall(newer.Newest, lease(1), 500); a.Leases[lease(1)].Paid != 400 {
		t.Errorf("a share of %d without a voucher for it", a.Leases[lease(1)].Paid)
	}
}

// TestRelease_AskedAgain_IsTheSame: who asks for a Release again gets the one that was made, until half its life is
// over or the sum is another.
func TestRelease_AskedAgain_IsTheSame(t *testing.T) {
	_, payee := pair(t, 100, 60, 1)
	now := time.Unix(1_000_000, 0)
	payee = payee.EndLease(lease(1), 30)
	made, rel, err := payee.MakeRelease(testKey(2), now)
	if err != nil {
		t.Fatal(err)
	}
	if !made.Releases(rel.Wire(), now.Add(time.Minute)) {
		t.Error("a fresh release is made anew")
	}
	if made.Releases(rel.Wire(), now.Add(escrow.MaxReleaseTTL*2/3)) || payee.Releases(rel.Wire(), now) ||
		made.EndLease(lease(1), 40).Releases(rel.Wire(), now) {
		t.Error("an old one, one of another state or of another sum is given again")
	}
	var none [114]byte
	if made.Releases(none, now) || (escrow.Account{Channel: market.ChannelID{}}).Releases(none, now) {
		t.Error("no release is given")
	}
}
