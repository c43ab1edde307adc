package escrow

import (
	"crypto/ed25519"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/market"
)

// TestThin_CostsOneGrainAtMost: however often a customer pays, the vouchers that are kept are few, the newest is among
// them, and what is earned is at most one grain less than with all of them.
func TestThin_CostsOneGrainAtMost(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	id := market.LeaseID{1}
	rapid.Check(t, func(rt *rapid.T) {
		all := NewAccount(ChannelState{ID: market.ChannelID{3}, Status: StatusOpen, Deposit: 1_000_000,
			VoucherKey: PublicKey(key)}, Finalised)
		all, err := all.AddLease(id, 1_000_000, 0)
		if err != nil {
			rt.Fatal(err)
		}
		thin := all
		const grain = 40
		paid, owed := market.Amount(0), market.Amount(0)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if rapid.IntRange(0, 4).Draw(rt, "what") == 0 {
				owed += market.Amount(rapid.IntRange(0, 80).Draw(rt, "owed"))
				all, thin = all.Owe(id, owed), thin.Owe(id, owed)
			} else {
				paid += market.Amount(rapid.IntRange(1, 60).Draw(rt, "more"))
				v := Voucher{Channel: market.ChannelID{3}, Amount: paid}.Sign(key)
				p := market.Payment{Lease: id, LeaseAmount: paid, Voucher: v.Encode(), Sig: v.Sig}
				was := len(thin.Kept)
				if all, _, err = all.TakePayment(p); err != nil {
					rt.Fatal(err)
				}
				next, _, err := thin.TakePayment(p)
				if err != nil {
					rt.Fatal(err)
				}
				if next = next.Thin(grain); len(thin.Kept) != was {
					rt.Fatal("an older state was changed")
				}
				thin = next
			}
			best, _ := all.Earned()
			got, _ := thin.Earned()
			if best.Amount-got.Amount > grain || thin.Newest != all.Newest || thin.PaidSum() != all.PaidSum() {
				rt.Fatalf("earned %d instead of %d, newest %d", got.Amount, best.Amount, thin.Newest.Amount)
			}
			if n := len(thin.Kept); n > 3 {
				low, high := thin.Kept[0].Amount, thin.Kept[n-1].Amount
				if most := 3 + 2*int((high-low)/grain); n > most || *thin.Kept[n-1] != thin.Newest {
					rt.Fatalf("%d vouchers from %d to %d", n, low, high)
				}
			}
		}
	})
}
