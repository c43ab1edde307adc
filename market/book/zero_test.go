package book

import (
	"fmt"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestPut_AllStateZero_AreFoundByIt: a number that is 0 in every row of several words has no bits to flip; it is still
// one that is stated.
func TestPut_AllStateZero_AreFoundByIt(t *testing.T) {
	t.Parallel()
	var all []market.Offer
	for i := range 200 {
		o := offer(i, "t4", 1, 100, 1)
		o.Fields[market.FieldRegion] = 0
		all = append(all, o)
	}
	b := filled(t, all...)
	q := Query{Limit: MaxLimit, Terms: []market.Term{{Field: market.FieldRegion, In: []uint64{0}}}}
	var got []string
	for _, c := range b.Match(q, t0).Candidates {
		got = append(got, named(c))
	}
	if want := naive(b, q, t0); fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 200 {
		t.Errorf("%d found: %q\nwant %q", len(got), got, want)
	}
}
