package price

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestCapOf_KeepsItsPromise: under the cap no party, paying or paid, weighs more than its share of all (but for what is
// rounded up), and no larger cap would do.
func TestCapOf_KeepsItsPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.IntRange(0, rapid.IntRange(1, 200).Draw(t, "names"))
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Trade {
			return Trade{Payer: fmt.Sprint("a", name.Draw(t, "payer")), Payee: fmt.Sprint("b", name.Draw(t, "payee")),
				Weight: rapid.OneOf(rapid.Int64Range(1, 1<<36), rapid.Int64Range(1, 9)).Draw(t, "weight")}
		}), 1, 250).Draw(t, "trades")
		heavy, payers, payees := parties(list)
		wide, got := breadth(list, heavy), capOf(list, heavy)
		if wide < 1 || wide > one*min(payers, payees) {
			t.Fatalf("%d payers and %d payees are %d", payers, payees, wide)
		}
		sum := func(c int64) (sum int64) {
			for i, l := range list {
				sum += capped(l.Weight, c, heavy[i])
			}
			return sum
		}
		of := func(c int64) bool { return c*Share <= sum(c) || float64(c)*float64(wide) <= Over*one*float64(sum(c)) }
		if got < 1 || !of(got) || got < slices.Max(heavy) && of(got+got/1000+1) {
			t.Fatalf("the cap %d", got)
		}
		party := map[string]int64{}
		for i, l := range list {
			w := capped(l.Weight, got, heavy[i])
			party[l.Payer] += w
			party[l.Payee] += w
		}
		for p, w := range party {
			if w > got+int64(len(list)) {
				t.Fatalf("%s weighs %d, the cap is %d", p, w, got)
			}
		}
	})
}
