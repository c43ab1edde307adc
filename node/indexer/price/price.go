// Package price makes one price of many trades, which a few traders cannot move far: docs/price-index.md.
//
// Invariants: the result follows from the set of trades alone, in whole numbers: whoever has the same trades has the
// same price, in whatever order they came. Concurrency: pure. Persistence: none.
package price

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
)

// Trade is a lease that was paid: at Price per device and hour, for Weight device-milliseconds. Payer and Payee are
// the addresses of its channel. ID orders trades of one price.
type Trade struct {
	ID           string
	Payer, Payee string
	Price        int64
	Weight       int64
}

// Index is the price of trades. Weight is their sum, uncapped.
type Index struct {
	Price                    int64
	N, Pairs, Payers, Payees int64
	Weight                   int64
}

// One party weighs at most a Share-th of all, or Over times what it would if all of its side weighed alike, if that is
// more: of few parties each weighs more.
const (
	Share = 50
	Over  = 2
)

// maxWeight of one trade keeps sums within 63 bits: 64 devices for a day are below 2^33.
const maxWeight = 1 << 36

// Of is the median of the prices by capped weights: the lowest price at which half of all weight is reached. false: no
// trade weighs anything.
func Of(trades []Trade) (out Index, ok bool) {
	list := make([]Trade, 0, len(trades))
	pairs := map[[2]string]bool{}
	for _, t := range trades {
		if t.Weight <= 0 || t.Payer == t.Payee {
			continue
		}
		t.Weight = min(t.Weight, maxWeight)
		out.Weight += t.Weight
		pairs[[2]string{t.Payer, t.Payee}] = true
		list = append(list, t)
	}
	if len(list) == 0 {
		return Index{}, false
	}
	out.N, out.Pairs = int64(len(list)), int64(len(pairs))
	slices.SortFunc(list, func(a, b Trade) int {
		return cmp.Or(cmp.Compare(a.Price, b.Price), strings.Compare(a.ID, b.ID), cmp.Compare(a.Weight, b.Weight))
	})
	out.Payers = limit(list, func(t Trade) string { return t.Payer })
	out.Payees = limit(list, func(t Trade) string { return t.Payee })
	out.Price = median(list)
	return out, true
}

// limit makes the trades of each party lighter that together weigh more than its cap. It returns how many there are.
func limit(list []Trade, party func(Trade) string) int64 {
	sums := map[string]int64{}
	for _, t := range list {
		sums[party(t)] += t.Weight
	}
	weights := make([]int64, 0, len(sums))
	for _, w := range sums {
		weights = append(weights, w)
	}
	most := capOf(weights)
	for i, t := range list {
		if sum := sums[party(t)]; sum > most {
			list[i].Weight = max(mulDiv(t.Weight, most, sum), 1)
		}
	}
	return int64(len(sums))
}

// capOf is the largest weight of one party that is not over its share of what all weigh under that cap.
func capOf(weights []int64) int64 {
	part, of := int64(1), int64(Share)
	if n := int64(len(weights)); n < Share*Over {
		part, of = Over, n
	}
	slices.Sort(weights)
	if part >= of {
		return weights[len(weights)-1]
	}
	// Under the cap c the parties weigh Σ min(w, c). That grows slower than c, so the caps that hold are an interval
	// from 1 on.
	holds := func(c int64) bool {
		var sum int64
		for i, w := range weights {
			if w >= c {
				sum += c * int64(len(weights)-i)
				break
			}
			sum += w
		}
		return c*of <= sum*part
	}
	low, high := int64(1), weights[len(weights)-1]
	for low < high {
		if mid := low + (high-low+1)/2; holds(mid) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// median of trades in the order of their prices.
func median(list []Trade) int64 {
	var total, sum int64
	for _, t := range list {
		total += t.Weight
	}
	for _, t := range list {
		if sum += t.Weight; 2*sum >= total {
			return t.Price
		}
	}
	return list[len(list)-1].Price
}

// mulDiv is a·b/c, rounded down; a ≤ c.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(q)
}

// Span is when a lease ran, in unix ms, and what it weighs: Devices for Billable ms, spread evenly from Begin to End.
type Span struct{ Begin, End, Devices, Billable int64 }

// Last is how much of a lease counts, from its end back, in ms: the price of a long one was agreed long ago.
const Last = 24 * 3_600_000

// Within is what a lease weighs between two times.
func (s Span) Within(from, to int64) int64 {
	length := s.End - s.Begin
	overlap := min(to, s.End) - max(from, s.Begin, s.End-Last)
	if length <= 0 || overlap <= 0 || s.Devices <= 0 || s.Billable <= 0 {
		return 0
	}
	return s.Devices * mulDiv(overlap, min(s.Billable, length), length)
}
