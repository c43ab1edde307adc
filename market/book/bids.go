package book

import (
	"cmp"
	"slices"

	"github.com/gpuai/gpuai/market"
)

// Bid is what Wants that name one rate as their most ask for: how many they are, and of how many devices. Up counts the
// devices of this and of all higher bids. No rate is any rate.
type Bid struct {
	Rate               market.Rate
	Wants, Devices, Up int
}

// Bids are what Wants of a class and a mint would pay, the highest rate first; one that takes several classes counts in
// each of them.
func Bids(wants []market.Want, class string, mint market.Address) (out []Bid) {
	for _, w := range wants {
		if w.Withdrawn() || w.Mint != mint || !slices.Contains(w.Classes, class) {
			continue
		}
		i, found := slices.BinarySearchFunc(out, w.MaxRate, func(b Bid, r market.Rate) int {
			return cmp.Compare(r-1, b.Rate-1) // any rate wraps around and is the highest
		})
		if !found {
			out = slices.Insert(out, i, Bid{Rate: w.MaxRate})
		}
		out[i].Wants++
		out[i].Devices += w.Devices
	}
	sum := 0
	for i := range out {
		sum += out[i].Devices
		out[i].Up = sum
	}
	return out
}
