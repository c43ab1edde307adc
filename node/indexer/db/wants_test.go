package db_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

// want is a slot's Want, signed so many seconds after start, for ten minutes.
func want(n, slot, after int, devices, rate int64, classes ...string) db.Want {
	at := start.UnixMilli() + int64(after)*1000
	return db.Want{Customer: nodeOf(n).String(), Slot: int64(slot), Seq: at, Classes: classes, Devices: devices,
		Mint: sol, Rate: rate, Began: at, Until: at + 600_000}
}

// TestWants_BidSide: Wants count at each of their models while they live: a renewed one once, a replaced one no more,
// one that is withdrawn or expired neither; an older one changes nothing.
func TestWants_BidSide(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		bids := func(after int) string {
			t.Helper()
			out := ""
			for _, b := range sum(t, d, start.Add(time.Duration(after)*time.Second)).Bids {
				out += fmt.Sprintf("%s %d:", b.Class, b.Wanted)
				for _, l := range b.Levels {
					out += fmt.Sprintf(" %d@%d/%d", l.Devices, l.Rate, l.Wants)
				}
				out += "; "
			}
			return out
		}
		at := func(after int, list ...db.Want) {
			t.Helper()
			apply(t, d, start.Add(time.Duration(after)*time.Second), db.Change{Wants: list})
		}
		is := func(what, want string) {
			t.Helper()
			if got := bids(0); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		at(0, want(1, 0, 0, 2, 50, "a", "b"), want(2, 0, 0, 1, 0, "a"), want(3, 1, 0, 4, 70, "a"))
		is("three", "a 7: 1@0/1 4@70/1 2@50/1; b 2: 2@50/1; ")
		at(60, want(1, 0, 60, 2, 50, "a", "b"), want(2, 0, -60, 9, 9, "a"))
		is("one is renewed, one is old", "a 7: 1@0/1 4@70/1 2@50/1; b 2: 2@50/1; ")
		at(120, want(1, 0, 120, 1, 50, "b"), want(3, 1, 120, 0, 0, "a"))
		is("one is another now, one is withdrawn", "a 1: 1@0/1; b 1: 1@50/1; ")
		at(650)
		is("one has expired", "b 1: 1@50/1; ")
		list, err := d.Wants(t.Context(), db.WantQuery{AfterSlot: -1, Limit: 9})
		none, err2 := d.Wants(t.Context(), db.WantQuery{Class: "a", AfterSlot: -1, Limit: 9})
		if err != nil || err2 != nil || len(list) != 1 || len(none) != 0 || list[0].Devices != 1 ||
			list[0].Began != start.UnixMilli()+120_000 {
			t.Errorf("%v %v: %+v, %+v", err, err2, list, none)
		}
		at(800_000, want(9, 0, 800_000, 1, 0, "a"))
		if m := sum(t, d, start); len(m.Bids) != 1 || m.Bids[0].Class != "a" {
			t.Errorf("nine days later: %+v", m.Bids)
		}
	})
}

// TestFill_FromWantToLease: the wait counts from the first of a row of Wants for the same, and only for a lease that
// began while it was wanted.
func TestFill_FromWantToLease(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		for _, after := range []int{0, 300, 600} {
			apply(t, d, start.Add(time.Duration(after)*time.Second),
				db.Change{Wants: []db.Want{want(1, 3, after, 1, 9, "a")}})
		}
		c := account(1, 1, 1, 1<<40)
		began := lease(1, c, 100, hour+5000+700_000) // accepted after 700 s
		late := lease(2, c, 100, hour+5000+5_000_000)
		apply(t, d, start.Add(3*time.Hour), db.Change{Channels: []db.Channel{c}, Leases: []db.Lease{began, late}})
		f, ok := sum(t, d, start.Add(3*time.Hour)).Fill("a")
		if !ok || f.N != 1 || f.Median != 700_000 {
			t.Errorf("%v %+v", ok, f)
		}
		l, err := d.Lease(t.Context(), late.ID)
		if err != nil || l.WantedAt != 0 {
			t.Errorf("%v %+v", err, l)
		}
	})
}

// TestDelays_Percentiles: they are rounded up by at most an eighth, and forgotten after a day.
func TestDelays_Percentiles(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		var list []db.Delay
		for i := range int64(100) {
			list = append(list, db.Delay{At: start.UnixMilli(), Micros: (i + 1) * 1000})
		}
		list = append(list, db.Delay{At: start.Add(-25 * time.Hour).UnixMilli(), Micros: 1 << 40})
		apply(t, d, start, db.Change{Delays: list[:60]})
		apply(t, d, start, db.Change{Delays: list[60:]})
		g := sum(t, d, start).Delay
		if g.N != 100 || g.P50 < 50_000 || g.P50 > 57_000 || g.P95 < 95_000 || g.P95 > 107_000 {
			t.Errorf("%+v", g)
		}
		apply(t, d, start.Add(30*time.Hour), db.Change{Delays: []db.Delay{{At: start.Add(30 * time.Hour).UnixMilli()}}})
		if g := sum(t, d, start.Add(30*time.Hour)).Delay; g != (db.Gossiped{N: 1, P50: 1, P95: 1}) {
			t.Errorf("a day later: %+v", g)
		}
	})
}
