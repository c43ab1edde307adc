package book

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/market"
)

// TestMatch_ManyEqual_EqualsNaive: where most offers are equally good by the first keys, or by all but the tie, the
// bound that the first chunks make leaves the best of the later ones.
func TestMatch_ManyEqual_EqualsNaive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := New()
		b.enough, b.often = rapid.IntRange(0, 3).Draw(t, "enough"), rapid.IntRange(1, 2).Draw(t, "often")
		few := rapid.SliceOfN(rapid.Uint64Range(0, 3), 3, 3).Draw(t, "how many values")
		for i := range rapid.IntRange(50, 200).Draw(t, "offers") {
			o := offer(i, fmt.Sprint("class", i%7), 1, 100, 1)
			draw := rapid.Uint64Range(0, 1<<16).Draw(t, "values")
			o.Fields[market.FieldRegion] = draw % (few[0] + 1)
			if proof := draw / 4 % (few[1] + 1); proof > 0 {
				o.Groups[0].Fields[market.FieldProof] = proof
			}
			if _, err := b.Put(o, market.DocID{}, nil, t0); err != nil {
				t.Fatal(err)
			}
			if near := draw / 16 % (few[2] + 1); near > 0 {
				b.Mark(o.Provider, Observation{At: t0, RTT: 25 * time.Duration(near) * time.Millisecond})
			}
		}
		q := Query{Limit: rapid.IntRange(1, 8).Draw(t, "limit"),
			Sort: rapid.SampledFrom([]market.Sort{{Field: market.FieldRegion}, {Field: market.FieldRTT}, {},
				{Field: market.FieldProof}, {Field: market.FieldRegion, Each: true}}).Draw(t, "sort")}
		q.Order[3] = rapid.Byte().Draw(t, "order")
		var got []string
		for _, c := range b.Match(q, t0).Candidates {
			got = append(got, named(c))
		}
		if want := naive(b, q, t0); !slices.Equal(got, want) {
			t.Fatalf("%+v:\n got %q\nwant %q", q, got, want)
		}
	})
}
