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

// A party is an address that pays or is paid. None weighs more than a Share-th of all, or Over times an equal part if
// that is more. How many equal parts there are is the breadth of the trades: see breadth.
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
	heavy, payers, payees := parties(list)
	out.Payers, out.Payees = payers, payees
	most := capOf(list, heavy)
	for i := range list {
		list[i].Weight = capped(list[i].Weight, most, heavy[i])
	}
	out.Price = median(list)
	return out, true
}

// parties says of each trade what the heavier of its two parties weighs in all, and how many pay and are paid.
func parties(list []Trade) (heavy []int64, payers, payees int64) {
	paying, paid := map[string]int64{}, map[string]int64{}
	for _, t := range list {
		paying[t.Payer] += t.Weight
		paid[t.Payee] += t.Weight
	}
	for _, t := range list {
		heavy = append(heavy, max(paying[t.Payer], paid[t.Payee]))
	}
	return heavy, int64(len(paying)), int64(len(paid))
}

// one is 1 as breadth counts.
const one = 1 << 20

// breadth counts independent parties: each trade is the part that it has of the heavier of its parties. n pairs that
// have nothing to do with each other are n; many keys that all pay one address are 1, and so are many that one address
// pays.
func breadth(list []Trade, heavy []int64) (sum int64) {
	for i, t := range list {
		sum += mulDiv(one, t.Weight, heavy[i])
	}
	return sum
}

// capped is what a trade weighs if no party may weigh more than most: rounded up, so that it weighs something.
func capped(weight, most, heavy int64) int64 {
	if heavy <= most {
		return weight
	}
	hi, lo := bits.Mul64(uint64(weight), uint64(most))
	q, r := bits.Div64(hi, lo, uint64(heavy))
	if r > 0 {
		q++
	}
	return int64(q)
}

// capOf is the largest weight of a party that is not over its share of what all weigh under that cap. A cap that grows
// makes all weigh more, but less and less, so the caps that hold are those from 1 to the largest.
func capOf(list []Trade, heavy []int64) int64 {
	wide := breadth(list, heavy)
	holds := func(c int64) bool {
		var sum int64
		for i, t := range list {
			sum += capped(t.Weight, c, heavy[i])
		}
		return !more(c, Share, sum, 1) || !more(c, wide, sum, Over*one)
	}
	low, high := int64(1), slices.Max(heavy)
	for low < high {
		if mid := low + (high-low+1)/2; holds(mid) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// more reports a·b > c·d.
func more(a, b, c, d int64) bool {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	hi2, lo2 := bits.Mul64(uint64(c), uint64(d))
	return hi > hi2 || hi == hi2 && lo > lo2
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

// mulDiv is a·b/c, rounded down; a or b is at most c.
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
