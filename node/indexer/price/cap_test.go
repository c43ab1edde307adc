package price

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestCapOf_KeepsItsPromise: under the cap no party weighs more than its share of all, and no larger cap does that.
func TestCapOf_KeepsItsPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(1, 1<<40), rapid.Int64Range(1, 9)), 1, 250).Draw(t,
			"weights")
		n := int64(len(weights))
		got := capOf(slices.Clone(weights))
		holds := func(c int64) bool {
			var sum int64
			for _, w := range weights {
				sum += min(w, c)
			}
			return c*Share <= sum || n < Share*Over && c*n <= Over*sum
		}
		most := slices.Max(weights)
		if got < 1 || got > most || !holds(got) || got < most && holds(got+1) {
			t.Fatalf("%d of %v", got, weights)
		}
	})
}
