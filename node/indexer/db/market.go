package db

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"
)

// What counts as so: an answer to this indexer within Reachable, a channel of the payout that moved within Moved.
const (
	Reachable = 10 * time.Minute
	Moved     = time.Hour
)

// Market is the sum of all live lots at a time. It is never changed once it is made.
type Market struct {
	At      time.Time
	Classes []Class // by name
	Sellers []Sellers
	Locked  []Locked
	Bids    []Bids // by model
	Jobs    Jobs
	Delay   Gossiped
	Refused int64 // figures that were left out, and documents that found no room, of all starts
}

// Class sums a model. Announced counts devices, Rigs the providers.
type Class struct {
	Name                               string
	Rigs, Announced, Reachable, Leased int64
	Free                               int64
	Prices                             []Prices // by mint
}

// Prices of a model in one mint: N lots with a rate ask from Low to High. Percentiles are over devices.
type Prices struct {
	Mint                     string
	N                        int64
	Low, P10, P50, P90, High int64
	Levels                   []Level // the cheapest, at most 200
	devices                  []int64 // of each level, also of those that are cut
	rates                    []int64
}

// Level is what is asked at one price.
type Level struct{ Rate, Devices, Free, Lots int64 }

// Sellers are the live rigs of one version in one country.
type Sellers struct {
	Version, Country string
	Rigs, Devices    int64
	Reached          int64 // rigs
	RTT              int64 // µs, the mean of those that were reached; 0: none
}

// Locked sums the channels of a mint that have one status.
type Locked struct {
	Mint         string
	Decimals     int64
	Status       int64
	N            int64
	Deposit, Out *big.Int // Out: paid or refunded
	Slot         int64    // of the newest read
}

// MetaRefused is where the count of what was refused stands.
const MetaRefused = "refused"

// maxLevels of a price list.
const maxLevels = 200

// Sum makes the Market of now, which Market returns from then on. It reads all lots: callers bound how often.
func (d *DB) Sum(ctx context.Context, now time.Time) (*Market, error) {
	m := &Market{At: now}
	since, moved := now.Add(-Reachable).UnixMilli(), now.Add(-Moved).UnixMilli()
	for _, part := range []func() error{
		func() error { return d.sumLots(ctx, m, since, moved) },
		func() error { return d.sumRigs(ctx, m, since) },
		func() error { return d.sumChannels(ctx, m) },
		func() error { return d.sumWants(ctx, m) },
		func() error { return d.sumJobs(ctx, m) },
		func() error { return d.sumDelays(ctx, m, now.UnixMilli()-delaysKept) },
		func() error {
			v, err := d.Meta(ctx, MetaRefused)
			m.Refused, _ = strconv.ParseInt(v, 10, 64) // none is 0
			return err
		},
	} {
		if err := part(); err != nil {
			return nil, fmt.Errorf("sum the market: %w", err)
		}
	}
	d.mu.Lock()
	d.snap = m
	d.mu.Unlock()
	d.touch(map[Source]bool{Sums: true})
	return m, nil
}

// Market is what Sum made last, never nil.
func (d *DB) Market() *Market {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.snap == nil {
		return &Market{}
	}
	return d.snap
}

func (d *DB) sumLots(ctx context.Context, m *Market, since, moved int64) error {
	var class *Class
	err := scan(ctx, d.read, func(s scanner) error {
		var name, mint string
		var l Level
		var lead, free, heads, reached, leased int64
		err := s.Scan(&name, &mint, &l.Rate, &l.Lots, &l.Devices, &l.Free, &lead, &free, &heads, &reached, &leased)
		if err != nil {
			return err
		}
		if class == nil || class.Name != name {
			m.Classes = append(m.Classes, Class{Name: name})
			class = &m.Classes[len(m.Classes)-1]
		}
		class.Rigs += heads
		class.Announced += lead
		class.Free += free
		class.Reachable += reached
		class.Leased += leased
		if l.Rate == 0 {
			return nil
		}
		if n := len(class.Prices); n == 0 || class.Prices[n-1].Mint != mint {
			class.Prices = append(class.Prices, Prices{Mint: mint})
		}
		class.Prices[len(class.Prices)-1].add(l)
		return nil
	}, `SELECT class, mint, rate, COUNT(*), SUM(devices), SUM(free), SUM(devices * lead), SUM(free * lead), SUM(head),
		SUM(CASE WHEN reached_at >= $1 THEN devices * lead ELSE 0 END),
		SUM(CASE WHEN payout IN (SELECT payee FROM channels WHERE moved_at >= $2) THEN (devices - free) * lead
		ELSE 0 END)
		FROM lots WHERE live = 1 GROUP BY class, mint, rate ORDER BY class, mint, rate`, since, moved)
	for i := range m.Classes {
		for j := range m.Classes[i].Prices {
			m.Classes[i].Prices[j].finish()
		}
	}
	return err
}

func (p *Prices) add(l Level) {
	p.N += l.Lots
	p.rates, p.devices = append(p.rates, l.Rate), append(p.devices, l.Devices)
	if len(p.Levels) < maxLevels {
		p.Levels = append(p.Levels, l)
	}
}

// finish takes the percentiles of the levels, which are in the order of their rates.
func (p *Prices) finish() {
	var total int64
	for _, n := range p.devices {
		total += n
	}
	at := func(percent int64) int64 {
		want, sum := (total*percent+99)/100, int64(0)
		for i, n := range p.devices {
			if sum += n; sum >= want {
				return p.rates[i]
			}
		}
		return p.rates[len(p.rates)-1]
	}
	p.Low, p.High = p.rates[0], p.rates[len(p.rates)-1]
	p.P10, p.P50, p.P90 = at(10), at(50), at(90)
	p.rates, p.devices = nil, nil
}

func (d *DB) sumRigs(ctx context.Context, m *Market, since int64) error {
	return scan(ctx, d.read, func(s scanner) error {
		var v Sellers
		var rtt int64
		err := s.Scan(&v.Version, &v.Country, &v.Rigs, &v.Devices, &v.Reached, &rtt)
		if v.Reached > 0 {
			v.RTT = rtt / v.Reached
		}
		m.Sellers = append(m.Sellers, v)
		return err
	}, `SELECT version, country, COUNT(*), SUM(devices), SUM(CASE WHEN reached_at >= $1 THEN 1 ELSE 0 END),
		SUM(CASE WHEN reached_at >= $1 THEN rtt_us ELSE 0 END) FROM rigs WHERE live = 1 GROUP BY version, country ORDER BY version, country`, since)
}

// halves sums a column in two parts: a sum of numbers near 2^63 would not fit one.
func halves(column string) string {
	return "SUM((" + column + ") / 4294967296), SUM((" + column + ") % 4294967296)"
}

func (d *DB) sumChannels(ctx context.Context, m *Market) error {
	return scan(ctx, d.read, func(s scanner) error {
		var l Locked
		var v [6]int64
		err := s.Scan(&l.Mint, &l.Decimals, &l.Status, &l.N, &l.Slot, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5])
		l.Deposit = whole(v[0], v[1])
		l.Out = new(big.Int).Add(whole(v[2], v[3]), whole(v[4], v[5]))
		m.Locked = append(m.Locked, l)
		return err
	}, "SELECT mint, decimals, status, COUNT(*), MAX(slot), "+halves("deposit")+", "+halves("paid")+", "+
		halves("refunded")+" FROM channels GROUP BY mint, decimals, status ORDER BY mint, status")
}

func whole(high, low int64) *big.Int {
	v := new(big.Int).Lsh(big.NewInt(high), 32)
	return v.Add(v, big.NewInt(low))
}

// maxHourly is how many models have a bucket of an hour: anybody may name models of his own.
const maxHourly = 2_000

// Hour is the market as a bucket per model and mint, of the hour that it was made in. Of too many models it has those
// that most devices of answered, then those that most rigs have.
func (m *Market) Hour() (out []Bucket) {
	classes := m.Classes
	if len(classes) > maxHourly {
		classes = slices.Clone(classes)
		slices.SortStableFunc(classes, func(a, b Class) int {
			return cmp.Or(cmp.Compare(b.Reachable, a.Reachable), cmp.Compare(b.Rigs, a.Rigs))
		})
		classes = classes[:maxHourly]
	}
	for _, c := range classes {
		wanted := m.Bid(c.Name).Wanted
		for _, p := range c.Prices {
			out = append(out, Bucket{Metric: MetricAsk, Key: c.Name, Mint: p.Mint, Step: HourStep,
				At: m.At.Truncate(time.Hour).UnixMilli(), N: p.N, Low: p.Low, P10: p.P10, P50: p.P50, P90: p.P90,
				High: p.High, Devices: c.Announced, Free: c.Free, Leased: c.Leased, Wanted: wanted})
		}
	}
	return out
}

// MetricAsk are rates that are asked for a model; HourStep is the span of a bucket, in seconds.
const (
	MetricAsk = "ask"
	HourStep  = int64(3600)
)

// Class is the sum of a model.
func (m *Market) Class(name string) (Class, bool) {
	i, ok := slices.BinarySearchFunc(m.Classes, name, func(c Class, n string) int { return cmp.Compare(c.Name, n) })
	if !ok {
		return Class{}, false
	}
	return m.Classes[i], true
}
