package book

import (
	"cmp"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Row is one group of one offer, free or not, and what this node saw of its provider. Offer is shared with the book:
// read only. Rate is 0 where the group is not sold for the mint.
type Row struct {
	Offer market.Offer
	Group int
	Rate  market.Rate
	Free  int
	Local market.Fields // rtt, ready, score and uptime as far as they are known, and since when: known
	Rank  [6]uint64     // ascending, as Match ranks
}

// compare orders rows; no two are equal.
func (r *Row) compare(o *Row) int {
	return cmp.Or(slices.Compare(r.Rank[:], o.Rank[:]), slices.Compare(r.Offer.Provider[:], o.Offer.Provider[:]),
		cmp.Compare(r.Group, o.Group))
}

// List is every row that has not expired, the best first by a ranking. What is not sold for the mint comes last.
func (b *Book) List(by market.Sort, mint market.Address, now time.Time) []Row {
	s := &scan{q: Query{Sort: by, Mint: mint}.complete()}
	out := make([]Row, 0, b.rows)
	for _, e := range b.entries {
		if !e.expires.After(now) {
			continue
		}
		for g := range e.offer.Groups {
			v, sold := viewOf(e, g, mint, now)
			row := Row{Offer: e.offer, Group: g, Rate: v.rate, Free: v.free, Local: market.Fields{},
				Rank: s.rank(&v).key}
			if !sold {
				row.Rank[0] = 1<<64 - 1
			}
			for _, f := range localFields {
				if x, ok := v.value(f); ok {
					row.Local[f] = x
				}
			}
			out = append(out, row)
		}
	}
	slices.SortFunc(out, func(x, y Row) int { return x.compare(&y) })
	return out
}

// localFields are what a node knows itself of a rig, and never sends.
var localFields = []market.FieldID{market.FieldScore, market.FieldRTT, market.FieldUptime, market.FieldReady,
	market.FieldKnown}

// Level is what a class costs at one rate: how many of its devices are free, of how many rigs, and how many are rented.
// Up counts the free ones of this and of all cheaper levels.
type Level struct {
	Rate                   market.Rate
	Rigs, Free, Rented, Up int
}

// Depth is what is offered of a class for a mint, the cheapest rate first. Hidden providers are left out, as a Match
// leaves them out.
func (b *Book) Depth(class string, mint market.Address, now time.Time) (out []Level) {
	at := map[market.Rate]int{}
	type seat struct {
		rate market.Rate
		e    *entry
	}
	counted := map[seat]bool{}
	for _, e := range b.entries {
		if !e.expires.After(now) || e.hidden.After(now) || e.tooNew() {
			continue
		}
		for g := range e.offer.Groups {
			v, sold := viewOf(e, g, mint, now)
			if !sold || e.offer.Groups[g].Class != class {
				continue
			}
			i, have := at[v.rate]
			if !have {
				i = len(out)
				at[v.rate] = i
				out = append(out, Level{Rate: v.rate})
			}
			out[i].Free += v.free
			out[i].Rented += len(e.offer.Groups[g].Devices) - v.free
			if !counted[seat{v.rate, e}] {
				counted[seat{v.rate, e}] = true
				out[i].Rigs++
			}
		}
	}
	slices.SortFunc(out, func(x, y Level) int { return cmp.Compare(x.Rate, y.Rate) })
	up := 0
	for i := range out {
		up += out[i].Free
		out[i].Up = up
	}
	return out
}

// Classes are those of which something is offered, free or not, sorted.
func (b *Book) Classes(now time.Time) []string {
	seen := map[string]bool{}
	var out []string
	for _, e := range b.entries {
		if !e.expires.After(now) {
			continue
		}
		for i := range e.offer.Groups {
			if c := e.offer.Groups[i].Class; !seen[c] {
				seen[c] = true
				out = append(out, c)
			}
		}
	}
	slices.Sort(out)
	return out
}
