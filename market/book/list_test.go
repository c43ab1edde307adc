package book

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/market"
)

// TestList_RanksAsMatch: where everything is free and sold, the list's first row of each provider are the candidates.
func TestList_RanksAsMatch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := New()
		for i := range rapid.IntRange(1, 30).Draw(t, "offers") {
			o := drawOffer(t, i, uint64(t0.UnixMilli()))
			if _, err := b.Put(o, market.DocID{}, nil, t0); err != nil {
				t.Fatal(err)
			}
			b.Mark(o.Provider, Observation{At: t0, RTT: time.Duration(i%3*20) * time.Millisecond,
				Score: uint64(i%4) * 250_000, Ready: time.Duration(i%5) * time.Second})
		}
		q := Query{Sort: market.Sort{Field: rapid.SampledFrom(fieldsOfTests).Draw(t, "by"),
			Each: rapid.Bool().Draw(t, "each")}}
		rows := b.List(q.Sort, q.Mint, t0)
		place := map[market.NodeID]int{}
		for i, r := range rows {
			if g := r.Offer.Groups[r.Group]; r.Rate == 0 || freeOf(&g) == 0 || b.byProvider[r.Offer.Provider].tooNew() {
				continue
			}
			if _, have := place[r.Offer.Provider]; !have {
				place[r.Offer.Provider] = i
			}
		}
		cands := b.Match(q, t0).Candidates
		if len(cands) != len(place) {
			t.Fatalf("%d candidates, %d free and sold rows", len(cands), len(place))
		}
		if !slices.IsSortedFunc(cands, func(x, y Candidate) int {
			return place[x.Provider] - place[y.Provider]
		}) {
			t.Fatal("candidates are in another order than rows")
		}
	})
}

// TestRank_OfAQuote: what a provider asks in its Quote is weighed as its offered rate is.
func TestRank_OfAQuote(t *testing.T) {
	t.Parallel()
	b := filled(t, offer(1, "t4", 10, 1000, 1), offer(2, "t4", 40, 2000, 1))
	b.Mark(node(1), Observation{At: t0, Score: 500_000})
	b.Mark(node(2), Observation{At: t0, Score: 1_000_000, RTT: 3 * time.Millisecond})
	rank := func(s market.Sort, who int, r market.Rate) uint64 {
		for _, c := range b.Match(Query{Sort: s}, t0).Candidates {
			if c.Provider == node(who) {
				return c.Rank(r)
			}
		}
		t.Fatal("no such candidate")
		return 0
	}
	price, value, near := market.Sort{}, market.Sort{Field: market.FieldVRAM, Each: true},
		market.Sort{Field: market.FieldRTT}
	for name, better := range map[string]bool{
		"half as reliable, more than half the price": rank(price, 2, 2000) < rank(price, 1, 1001),
		"half as reliable, less than half":           rank(price, 1, 999) < rank(price, 2, 2000),
		"four times the memory, less than four":      rank(value, 2, 3999) < rank(value, 1, 1000),
		"four times the memory, more than four":      rank(value, 1, 1000) < rank(value, 2, 4001),
		"near, whatever it asks":                     rank(near, 2, 1<<40) < rank(near, 1, 1),
	} {
		if !better {
			t.Error(name)
		}
	}
}

// TestMatch_Unknown_ComesLast: a rig whose field is not known is behind all others, however cheap it is; equally good
// ones are ranked by price.
func TestMatch_Unknown_ComesLast(t *testing.T) {
	t.Parallel()
	b := filled(t, offer(1, "t4", 1, 10, 1), offer(2, "t4", 1, 900, 1), offer(3, "t4", 1, 800, 1),
		offer(4, "t4", 1, 20, 1))
	for i, ms := range map[int]int{2: 26, 3: 49} { // one step
		b.Mark(node(i), Observation{At: t0, RTT: time.Duration(ms) * time.Millisecond})
	}
	for _, i := range []int{2, 3} {
		b.Mark(node(i), Observation{At: t0, Ready: 10 * time.Second, Uptime: 1})
	}
	for _, f := range []market.FieldID{market.FieldRTT, market.FieldReady, market.FieldUptime} {
		var got []market.NodeID
		for _, c := range b.Match(Query{Sort: market.Sort{Field: f}}, t0).Candidates {
			got = append(got, c.Provider)
		}
		if d := cmp.Diff([]market.NodeID{node(3), node(2), node(1), node(4)}, got); d != "" {
			t.Errorf("%s: %s", f, d)
		}
	}
}

// TestMark_MeasuredIsNeverUnknown: what takes less than a unit is no unknown.
func TestMark_MeasuredIsNeverUnknown(t *testing.T) {
	t.Parallel()
	b := filled(t, offer(1, "t4", 1, 10, 1))
	if l := b.List(market.Sort{}, market.Address{}, t0)[0].Local; len(l) != 1 {
		t.Errorf("of a rig that was never seen: %v", l)
	}
	b.Mark(node(1), Observation{At: t0, RTT: time.Microsecond, Ready: time.Millisecond})
	l := b.List(market.Sort{}, market.Address{}, t0)[0].Local
	if l[market.FieldRTT] != 1 || l[market.FieldReady] != 1 {
		t.Errorf("%v", l)
	}
}

// TestDepth_CountsEachRateOnce: what expired, is hidden, or is of another class is no depth.
func TestDepth_CountsEachRateOnce(t *testing.T) {
	t.Parallel()
	twice := offer(2, "t4", 1, 200, 4)
	twice.Groups = append(twice.Groups, twice.Groups[0])
	twice.Groups[1].Free = 0b11
	b := filled(t, offer(1, "t4", 1, 100, 2), twice, offer(3, "t4", 1, 200, 1), offer(4, "a100", 1, 1, 8),
		offer(5, "t4", 1, 50, 8))
	for _, min := range []int{0, 1} {
		b.Mark(node(5), Observation{At: t0.Add(time.Duration(min) * time.Minute), Failed: true})
	}
	want := []Level{{Rate: 100, Rigs: 1, Free: 2, Up: 2}, {Rate: 200, Rigs: 2, Free: 7, Rented: 2, Up: 9}}
	if d := cmp.Diff(want, b.Depth("t4", market.Address{}, t0.Add(2*time.Minute))); d != "" {
		t.Error(d)
	}
	if l := b.Depth("t4", market.Address{1}, t0); len(l) != 0 {
		t.Errorf("for another mint: %v", l)
	}
	if l := b.Depth("t4", market.Address{}, t0.Add(3*time.Hour)); len(l) != 0 {
		t.Errorf("after all expired: %v", l)
	}
	if d := cmp.Diff([]string{"a100", "t4"}, b.Classes(t0)); d != "" {
		t.Error(d)
	}
}
