package db

import (
	"context"
	"math/bits"
)

// Delay is how long an Offer was under way, by the clocks of two machines: At is when it came, unix ms.
type Delay struct{ At, Micros int64 }

// step rounds a time up to an eighth of a power of two, so that few rows hold many.
func (d Delay) step() int64 {
	v := max(d.Micros, 1)
	unit := int64(1) << max(bits.Len64(uint64(v))-4, 0)
	return (v + unit - 1) / unit * unit
}

// delaysKept is how long they count.
const delaysKept = 24 * hourMS

func (a *applying) delays(list []Delay) error {
	if len(list) == 0 {
		return nil
	}
	counts := map[[2]int64]int64{}
	for _, d := range list {
		counts[[2]int64{d.At / hourMS * hourMS, d.step()}]++
	}
	var keys [][2]int64
	for k := range counts {
		keys = append(keys, k)
	}
	err := a.insert("delays", "at, us, n", "ON CONFLICT (at, us) DO UPDATE SET n = delays.n + excluded.n", len(keys),
		func(i int) []any { return []any{keys[i][0], keys[i][1], counts[keys[i]]} })
	if err != nil {
		return err
	}
	return a.exec("DELETE FROM delays WHERE at < $1", a.now-delaysKept-hourMS)
}

// Gossiped is how long Offers were under way within the last 24 hours, in µs.
type Gossiped struct{ N, P50, P95 int64 }

func (d *DB) sumDelays(ctx context.Context, m *Market, since int64) error {
	var us, n []int64
	err := scan(ctx, d.read, func(s scanner) error {
		var v, c int64
		err := s.Scan(&v, &c)
		us, n = append(us, v), append(n, c)
		m.Delay.N += c
		return err
	}, "SELECT us, SUM(n) FROM delays WHERE at >= $1 GROUP BY us ORDER BY us", since)
	if err != nil {
		return err
	}
	m.Delay.P50, m.Delay.P95 = percentile(us, n, m.Delay.N, 50), percentile(us, n, m.Delay.N, 95)
	return nil
}

// percentile of values in their order, each so many times.
func percentile(values, n []int64, total, percent int64) int64 {
	want, sum := (total*percent+99)/100, int64(0)
	for i, c := range n {
		if sum += c; sum >= want {
			return values[i]
		}
	}
	return 0
}
