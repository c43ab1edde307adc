package db

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/price"
)

// Cleared is the price of a model in one hour: docs/price-index.md. Waiting are leases that would count if their
// channel had settled them.
type Cleared struct {
	Class, Mint string
	At          int64 // unix ms of the hour's begin
	price.Index
	Waiting int64
}

// hourMS is an hour of the price index.
const hourMS = 3_600_000

// hourOf is an hour of a model whose price is due.
type hourOf struct {
	class, mint string
	at          int64
}

// due notes the hours whose price a lease has to do with.
func (a *applying) due(l Lease) {
	if l.Ready == 0 || l.Ended <= l.Ready {
		return
	}
	for h := max(l.Ready, l.Ended-price.Last) / hourMS; h*hourMS < l.Ended; h++ {
		a.hours[hourOf{l.Class, l.Mint, h * hourMS}] = true
	}
}

// markDue writes them.
func (a *applying) markDue() error {
	list := slices.Collect(maps.Keys(a.hours))
	return a.insert("cleared_due", "class, mint, at", "ON CONFLICT (class, mint, at) DO NOTHING", len(list),
		func(i int) []any { return []any{list[i].class, list[i].mint, list[i].at} })
}

// A transaction of Clear makes hoursAtOnce at most, and begins none after clearTime: others wait to write.
const (
	hoursAtOnce = 50
	clearTime   = 100 * time.Millisecond
)

// Clear makes the prices of hours anew whose leases have changed, some in one transaction, and reports whether more may
// wait: the next call goes on where this one ended, so that hours which change all the time keep nobody waiting. It has
// one caller at a time.
func (d *DB) Clear(ctx context.Context) (more bool, err error) {
	made, next := 0, d.cleared
	err = d.inTx(ctx, func(t *tx) error {
		a := &applying{tx: t}
		hours, err := rowsOf(a, func(s scanner) (c Cleared, err error) {
			err = s.Scan(&c.Class, &c.Mint, &c.At)
			return c, err
		}, "SELECT class, mint, at FROM cleared_due WHERE (class, mint, at) > ($1, $2, $3) ORDER BY class, mint, at "+
			"LIMIT $4", next.Class, next.Mint, next.At, hoursAtOnce)
		if err != nil {
			return err
		}
		more = len(hours) == hoursAtOnce || next.Class != ""
		next = Cleared{}
		for began := time.Now(); made < len(hours); made++ {
			if time.Since(began) > clearTime {
				more = true
				return nil
			}
			if next = hours[made]; made == len(hours)-1 && len(hours) < hoursAtOnce {
				next = Cleared{} // from the first on again
			}
			if err := a.clear(hours[made]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("make prices: %w", err)
	}
	d.cleared = next
	if made > 0 {
		d.touch(map[Source]bool{Sums: true})
	}
	return more, nil
}

func (a *applying) clear(c Cleared) error {
	leases, err := rowsOf(a, scanTerms, "SELECT "+termColumns+" FROM leases WHERE class = $1 AND mint = $2 AND "+
		"settled >= $3 AND ended_at > $4 AND ended_at <= $5 AND ready_at < $6 ORDER BY ended_at, id, provider, "+
		"customer "+
		"LIMIT $7", c.Class, c.Mint, int64(SettledNot), c.At, c.At+hourMS+price.Last, c.At+hourMS, maxTrades)
	if err != nil {
		return err
	}
	c.Index, c.Waiting = priceOf(leases, c.At, c.At+hourMS)
	err = a.exec("DELETE FROM cleared WHERE class = $1 AND mint = $2 AND at = $3", c.Class, c.Mint, c.At)
	if err == nil {
		err = a.exec("DELETE FROM cleared_due WHERE class = $1 AND mint = $2 AND at = $3", c.Class, c.Mint, c.At)
	}
	if err != nil || c.N+c.Waiting == 0 {
		return err
	}
	return a.exec("INSERT INTO cleared ("+clearedColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", c.Class,
		c.Mint, c.At, c.Price, c.N, c.Pairs, c.Payers, c.Payees, c.Weight, c.Waiting)
}

// maxTrades of one price.
const maxTrades = 1 << 20

// priceOf is the price of covered leases between two times, and how many others wait for their money.
func priceOf(leases []Lease, from, to int64) (price.Index, int64) {
	var trades []price.Trade
	var waiting int64
	for _, l := range leases {
		weight := price.Span{Begin: l.Ready, End: l.Ended, Devices: l.Devices, Billable: l.BillableMS}.Within(from, to)
		switch {
		case weight == 0 || !l.priced():
		case l.Settled == SettledNot:
			waiting++
		case l.Settled == SettledCovered:
			trades = append(trades, price.Trade{ID: l.ID + l.Provider + l.Customer, Payer: l.Payer, Payee: l.Payee,
				Price: l.Rate, Weight: weight})
		}
	}
	p, _ := price.Of(trades) // of none it is nothing
	return p, waiting
}

// priced reports that what was paid is what rate and time say, to a hundredth: a lease that was given back in part
// tells no price.
func (l Lease) priced() bool {
	if l.Rate <= 0 || l.Provider == l.Customer {
		return false
	}
	owed, err := market.Rate(l.Rate).For(int(l.Devices), time.Duration(l.BillableMS)*time.Millisecond)
	if err != nil {
		return false
	}
	slack := int64(owed/100) + 1
	return l.Amount >= int64(owed)-slack && l.Amount <= int64(owed)+slack && l.Amount > 0
}

const clearedColumns = "class, mint, at, price, n, pairs, payers, payees, device_ms, waiting"

func scanCleared(s scanner) (c Cleared, err error) {
	err = s.Scan(&c.Class, &c.Mint, &c.At, &c.Price, &c.N, &c.Pairs, &c.Payers, &c.Payees, &c.Weight, &c.Waiting)
	return c, err
}

// Cleared are the hours of a model since a time, oldest first, at most n.
func (d *Reads) Cleared(ctx context.Context, class, mint string, since int64, n int) ([]Cleared, error) {
	return list(ctx, d, scanCleared, "SELECT "+clearedColumns+" FROM cleared WHERE class = $1 AND mint = $2 AND at "+
		">= $3 ORDER BY at LIMIT $4", class,
		mint, since, n)
}

// Jobs are the leases that ended within 24 hours, cost something, and are covered.
type Jobs struct {
	N      int64
	Paid   []Paid
	Prices []Cleared // of each model, from 23 full hours back
	Fills  []Fill
}

// Paid is what jobs cost in one mint.
type Paid struct {
	Mint   string
	N      int64
	Amount *big.Int
}

// Fill is how long customers of a model waited for the leases of the last 30 days whose Want this index knew: the
// median of N, in ms.
type Fill struct {
	Class  string
	N      int64
	Median int64
}

// fillDays are looked at for Fill.
const fillDays = 30

// sumJobs sums the leases of the last day.
func (d *DB) sumJobs(ctx context.Context, m *Market) error {
	now := m.At.UnixMilli()
	err := scan(ctx, d.read, func(s scanner) error {
		var p Paid
		var high, low int64
		err := s.Scan(&p.Mint, &p.N, &high, &low)
		p.Amount = whole(high, low)
		m.Jobs.N += p.N
		m.Jobs.Paid = append(m.Jobs.Paid, p)
		return err
	}, "SELECT mint, COUNT(*), "+halves("amount")+" FROM leases WHERE settled = $1 AND amount > 0 AND ended_at > $2 "+
		"GROUP BY mint ORDER BY mint", int64(SettledCovered), now-day)
	if err == nil {
		err = d.sumPrices(ctx, m, now/hourMS*hourMS-23*hourMS, now)
	}
	if err != nil {
		return err
	}
	var fills Fill
	var waits []int64
	done := func() {
		if fills.N = int64(len(waits)); fills.N > 0 {
			slices.Sort(waits)
			fills.Median = waits[(len(waits)-1)/2]
			m.Jobs.Fills = append(m.Jobs.Fills, fills)
		}
		waits = nil
	}
	err = scan(ctx, d.read, func(s scanner) error {
		var class string
		var wait int64
		if err := s.Scan(&class, &wait); err != nil {
			return err
		}
		if class != fills.Class {
			done()
			fills.Class = class
		}
		waits = append(waits, wait)
		return nil
	}, "SELECT class, accepted_at - wanted_at FROM leases WHERE wanted_at > 0 AND settled >= $1 AND ended_at > $2 "+
		"ORDER BY class", int64(SettledNot), now-fillDays*day)
	done()
	return err
}

const day = 24 * hourMS

// sumPrices makes the price of each model between two times.
func (d *DB) sumPrices(ctx context.Context, m *Market, from, to int64) error {
	var of Cleared
	var leases []Lease
	done := func() {
		of.Index, of.Waiting = priceOf(leases, from, to)
		if of.At = from; of.N > 0 {
			m.Jobs.Prices = append(m.Jobs.Prices, of)
		}
		leases = leases[:0]
	}
	err := scan(ctx, d.read, func(s scanner) error {
		l, err := scanTerms(s)
		if l.Class != of.Class || l.Mint != of.Mint {
			done()
			of = Cleared{Class: l.Class, Mint: l.Mint}
		}
		if len(leases) < maxTrades {
			leases = append(leases, l)
		}
		return err
	}, "SELECT "+termColumns+" FROM leases WHERE settled = $1 AND ended_at > $2 AND ready_at < $3 "+
		"ORDER BY class, mint, ended_at, id, provider, customer", int64(SettledCovered), from, to)
	done()
	return err
}

// Last24 is the price of a model over the last day.
func (m *Market) Last24(class, mint string) (Cleared, bool) {
	i := slices.IndexFunc(m.Jobs.Prices, func(c Cleared) bool { return c.Class == class && c.Mint == mint })
	if i < 0 {
		return Cleared{}, false
	}
	return m.Jobs.Prices[i], true
}

// Fill is how long customers of a model waited, false: not known.
func (m *Market) Fill(class string) (Fill, bool) {
	i := slices.IndexFunc(m.Jobs.Fills, func(f Fill) bool { return f.Class == class })
	if i < 0 {
		return Fill{}, false
	}
	return m.Jobs.Fills[i], true
}
