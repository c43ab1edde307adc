package book

import (
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
)

// WantOf is what the market may know of an Order that waits: which devices, on which terms, at which rate at most, for
// how long. Slot, seq, lifetime and reach are its publisher's. false: the order names no class, so nobody could be
// told.
func WantOf(o market.Order) (w market.Want, ok bool) {
	q := QueryOf(o)
	if len(q.Classes) == 0 {
		return w, false
	}
	classes := slices.Compact(slices.Sorted(slices.Values(q.Classes)))
	w = market.Want{
		Classes: classes[:min(len(classes), market.MaxWantClasses)], Devices: o.Devices, Mint: o.Mint,
		MaxRate: roundRate(o.MaxRate), MaxDuration: o.MaxDuration.Truncate(time.Second),
	}
	if o.MaxRate >= market.MaxRate {
		w.MaxRate = 0 // its owner named none
	}
	for _, soft := range []bool{false, true} { // what does not fit in is checked by the customer
		for _, t := range market.MergeTerms(q.Terms) {
			info, known := t.Field.Info()
			if known && info.Level == market.LevelLocal || t.Soft != soft || len(w.Terms) == market.MaxWantTerms {
				continue
			}
			w.Terms = append(w.Terms, t)
		}
	}
	return w, true
}

// roundRate drops the digits that no Offer's rate can have: none between the two is asked.
func roundRate(r market.Rate) market.Rate {
	unit := market.Rate(1)
	for r/unit >= 10_000 {
		unit *= 10
	}
	return r / unit * unit
}

// QueryOfWant is what a Want needs, for the book. rented: devices that are rented now fit, too.
func QueryOfWant(w market.Want, rented bool) Query {
	return Query{Terms: w.Terms, Classes: w.Classes, Devices: w.Devices, Mint: w.Mint, MaxRate: w.MaxRate,
		Rented: rented}
}

// Serves tells whether an Offer, which need not be in a book, serves a query at this moment, and at which rate. Where
// it does not, why is the first condition that it fails; zero: it sells nothing that this version knows.
func Serves(o market.Offer, q Query, now time.Time) (rate market.Rate, ok bool, why Rejected) {
	q = q.complete()
	s := &scan{q: q, conds: conditions(q)}
	s.tally = make([]tally, len(s.conds))
	if len(o.Groups) > 0 {
		s.offer(&entry{offer: o, firstSeen: now}, now)
	}
	if len(s.found) > 0 {
		return s.found[0].rate, true, why
	}
	if all := s.explanation().Rejected; len(all) > 0 {
		why = all[0]
	}
	return 0, false, why
}
