package db_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

var start = time.UnixMilli(1_800_000_000_000)

const sol = "So11111111111111111111111111111111111111112"

// rig is a provider with one group of devices.
func rig(n, seq int, class string, rate int64, devices, free int64) db.Rig {
	peer := fmt.Sprintf("peer%05d", n)
	return db.Rig{
		Peer: peer, Seq: int64(seq), Raw: []byte{0, 1, byte(n)}, ExpiresAt: start.Add(time.Hour).UnixMilli(),
		Payout: fmt.Sprintf("payout%d", n), Version: "0.1.0", Country: "DE", Devices: devices, Free: free,
		Lots: []db.Lot{{Mint: sol, Class: class, Name: "NVIDIA " + class, Devices: devices, Free: free, Rate: rate,
			VRAM: 24 << 30, Country: "DE", Payout: fmt.Sprintf("payout%d", n), Lead: true, Head: true}},
	}
}

func apply(t *testing.T, d *db.DB, at time.Time, c db.Change) db.Applied {
	t.Helper()
	a, err := d.Apply(t.Context(), at, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sum(t *testing.T, d *db.DB, at time.Time) *db.Market {
	t.Helper()
	m, err := d.Sum(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestApply_NewerOfferReplaces: an older or equal one changes nothing, whichever comes first.
func TestApply_NewerOfferReplaces(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		apply(t, d, start, db.Change{Rigs: []db.Rig{rig(1, 5, "rtx-4090", 100, 2, 2)}})
		was := d.Tag("gossip")
		a := apply(t, d, start.Add(time.Second), db.Change{Rigs: []db.Rig{rig(1, 5, "rtx-4090", 1, 1, 1)}})
		if a.Rigs != 0 || d.Tag("gossip") != was {
			t.Errorf("the same seq again changed %+v, tag %s to %s", a, was, d.Tag("gossip"))
		}
		apply(t, d, start, db.Change{Rigs: []db.Rig{rig(1, 4, "rtx-4090", 1, 1, 1)}})
		r, err := d.Rig(t.Context(), "peer00001")
		if err != nil || r.Seq != 5 || len(r.Lots) != 1 || r.Lots[0].Rate != 100 || r.FirstAt != start.UnixMilli() {
			t.Errorf("%v, %+v", err, r)
		}
		apply(t, d, start.Add(time.Minute), db.Change{Rigs: []db.Rig{rig(1, 6, "h100", 300, 8, 3)}})
		r, err = d.Rig(t.Context(), "peer00001")
		if err != nil || r.Seq != 6 || len(r.Lots) != 1 || r.Lots[0].Class != "h100" ||
			r.FirstAt != start.UnixMilli() || r.LastAt != start.Add(time.Minute).UnixMilli() {
			t.Errorf("%v, %+v", err, r)
		}
		if d.Tag("gossip") == was {
			t.Error("a new Offer left the tag as it was")
		}
	})
}

// TestApply_ExpiryAndWithdrawal: both take a rig from the market; a withdrawn one can come back.
func TestApply_ExpiryAndWithdrawal(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		apply(t, d, start, db.Change{Rigs: []db.Rig{rig(1, 1, "a", 5, 1, 1), rig(2, 1, "a", 6, 1, 1)}})
		gone := rig(1, 2, "a", 5, 1, 1)
		gone.Lots, gone.Devices = nil, 0
		apply(t, d, start, db.Change{Rigs: []db.Rig{gone}})
		if c, _ := sum(t, d, start).Class("a"); c.Announced != 1 || c.Rigs != 1 {
			t.Errorf("after a withdrawal: %+v", c)
		}
		if a := apply(t, d, start.Add(2*time.Hour), db.Change{}); a.Expired != 1 {
			t.Errorf("%+v", a)
		}
		if m := sum(t, d, start.Add(2*time.Hour)); len(m.Classes) != 0 || len(m.Sellers) != 0 {
			t.Errorf("after all have expired: %+v", m)
		}
		back := rig(1, 3, "a", 5, 1, 1)
		back.ExpiresAt = start.Add(9 * time.Hour).UnixMilli()
		apply(t, d, start.Add(3*time.Hour), db.Change{Rigs: []db.Rig{back}})
		if c, _ := sum(t, d, start.Add(3*time.Hour)).Class("a"); c.Announced != 1 {
			t.Errorf("one that came back: %+v", c)
		}
	})
}

// TestLots_PagesAreWhole: pages of any size give each lot once, in the order of price, peer, group and mint.
func TestLots_PagesAreWhole(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		var rigs []db.Rig
		for i := range 1203 { // over two statements
			r := rig(i, 1, []string{"a", "b"}[i%2], int64(1+i%7), 4, int64(i%5))
			l := r.Lots[0]
			l.Ix, l.Rate, l.Head = 1, 9, false
			r.Lots = append(r.Lots, l)
			rigs = append(rigs, r)
		}
		apply(t, d, start, db.Change{Rigs: rigs})
		for _, size := range []int{1000, 97} {
			var got []string
			q := db.LotQuery{Mint: sol, Class: "a", MinFree: 1, Limit: size}
			for {
				page, err := d.Lots(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range page {
					got = append(got, fmt.Sprintf("%02d %s %d %s", l.Rate, l.Peer, l.Ix, l.Mint))
					q.After, q.AfterRate, q.AfterPeer, q.AfterIx, q.AfterMint = true, l.Rate, l.Peer, l.Ix, l.Mint
				}
				if len(page) < size {
					break
				}
			}
			want := 0
			for i := range 1203 {
				if i%2 == 0 && i%5 > 0 {
					want += 2
				}
			}
			if len(got) != want || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != want {
				t.Errorf("pages of %d: %d lots, want %d, sorted %v", size, len(got), want, slices.IsSorted(got))
			}
		}
	})
}

// TestSum_Counts: devices count once however many mints they are sold for, rigs once per model.
func TestSum_Counts(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		r := rig(1, 1, "a", 10, 8, 3)
		usdc := r.Lots[0]
		usdc.Mint, usdc.Rate, usdc.Lead, usdc.Head = "usdc", 7, false, false
		r.Lots = append(r.Lots, usdc)
		apply(t, d, start, db.Change{Rigs: []db.Rig{r, rig(2, 1, "a", 30, 1, 1), rig(3, 1, "b", 0, 2, 2)}})
		apply(t, d, start, db.Change{
			Probes: []db.Probe{{Peer: "peer00001", At: start.UnixMilli(), OK: true, RTT: 1500},
				{Peer: "peer00002", At: start.UnixMilli()}},
			Channels: []db.Channel{{ID: "c", Payer: "w", Payee: "payout1", Mint: sol, Decimals: 9,
				Deposit: math.MaxInt64,
				Slot:    7, MovedAt: start.UnixMilli()}, {ID: "e", Payer: "w", Payee: "x", Mint: sol, Decimals: 9,
				Deposit: math.MaxInt64, Paid: 5, Slot: 8}},
		})
		m := sum(t, d, start.Add(time.Minute))
		a, _ := m.Class("a")
		want := db.Class{Name: "a", Rigs: 2, Announced: 9, Reachable: 8, Leased: 5, Free: 4}
		if got := a; got.Rigs != want.Rigs || got.Announced != want.Announced || got.Reachable != want.Reachable ||
			got.Leased != want.Leased || got.Free != want.Free {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if len(a.Prices) != 2 || a.Prices[0].Mint != sol || a.Prices[0].P50 != 10 || a.Prices[0].P90 != 30 ||
			a.Prices[0].High != 30 || len(a.Prices[0].Levels) != 2 {
			t.Errorf("prices %+v", a.Prices)
		}
		if b, ok := m.Class("b"); !ok || len(b.Prices) != 0 || b.Announced != 2 {
			t.Errorf("not sold: %+v", b)
		}
		if len(m.Locked) != 1 || m.Locked[0].Deposit.String() != "18446744073709551614" || m.Locked[0].N != 2 {
			t.Errorf("a sum over 64 bits: %+v", m.Locked)
		}
		if len(m.Sellers) != 1 || m.Sellers[0].Reached != 1 || m.Sellers[0].RTT != 1500 {
			t.Errorf("sellers %+v", m.Sellers)
		}
		later := sum(t, d, start.Add(2*time.Hour))
		if a, _ := later.Class("a"); a.Reachable != 0 || a.Leased != 0 {
			t.Errorf("two hours on: %+v", a)
		}
	})
}

// TestTxs_OnceEach: an instruction that is read again, or twice in one change, is there once, its event too.
func TestTxs_OnceEach(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		txs := []db.Tx{
			{Sig: "s1", Outer: 0, Inner: -1, Slot: 5, At: 9, Result: db.TxOK, Name: "open", Channel: "c", Amount: 3},
			{Sig: "s1", Outer: 0, Inner: 2, Slot: 5, At: 9, Result: db.TxOK, Name: "claim", Channel: "c"},
			{Sig: "s0", Outer: 1, Inner: -1, Slot: 5, At: 9, Result: db.TxFailed, Name: "claim", Channel: "c"},
		}
		if a := apply(t, d, start, db.Change{Txs: append(txs, txs[0])}); a.Txs != 3 {
			t.Errorf("first: %+v", a)
		}
		if a := apply(t, d, start, db.Change{Txs: txs}); a.Txs != 0 {
			t.Errorf("again: %+v", a)
		}
		got, err := d.Txs(t.Context(), "c", db.Tx{}, 10)
		if want := []db.Tx{txs[2], txs[0], txs[1]}; err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
		rows, floor, last, err := d.Events(t.Context(), 0, 10)
		if err != nil || len(rows) != 3 || floor != 0 || last != 3 {
			t.Errorf("%v: %d events, floor %d, last %d", err, len(rows), floor, last)
		}
	})
}

// TestChannels_ReadAgain: only a difference counts, an old read never overwrites, and what has gone stays known.
func TestChannels_ReadAgain(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		c := db.Channel{ID: "c", Payer: "w", Payee: "p", Mint: sol, Decimals: 9, Deposit: 100, Slot: 10}
		apply(t, d, start, db.Change{Channels: []db.Channel{c}})
		again := c
		again.Slot = 11
		if a := apply(t, d, start, db.Change{Channels: []db.Channel{again}}); a.Channels != 0 {
			t.Errorf("the same state: %+v", a)
		}
		old := c
		old.Slot, old.Deposit = 9, 50
		apply(t, d, start, db.Change{Channels: []db.Channel{old}})
		if got, err := d.Channel(t.Context(), "c"); err != nil || got.Deposit != 100 {
			t.Errorf("%v: an older read: %+v", err, got)
		}
		apply(t, d, start, db.Change{Channels: []db.Channel{{ID: "c", Status: 255, Slot: 20}}})
		got, err := d.Channel(t.Context(), "c")
		if err != nil || got.Status != 255 || got.Deposit != 100 || got.Payer != "w" || got.Slot != 20 {
			t.Errorf("%v: gone: %+v", err, got)
		}
		if l, err := d.Channels(t.Context(), "w", "", 5); err != nil || len(l) != 1 {
			t.Errorf("%v: of the payer: %+v", err, l)
		}
	})
}

// TestText_SortsByBytes: both databases agree where a language would not, and on letters outside ASCII.
func TestText_SortsByBytes(t *testing.T) {
	t.Parallel()
	want := []string{"A", "B", "Z", "a", "b", "ä", "ö", "Ω", "😀"}
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		var rigs []db.Rig
		for i, p := range []string{"b", "ö", "B", "a", "A", "😀", "ä", "Z", "Ω"} {
			r := rig(i, 1, "m", 1, 1, 1)
			r.Peer = p
			rigs = append(rigs, r)
		}
		apply(t, d, start, db.Change{Rigs: rigs})
		l, err := d.Rigs(t.Context(), "", 20)
		var got []string
		for _, r := range l {
			got = append(got, r.Peer)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v %v", err, got)
		}
		found, err := d.Search(t.Context(), "ä", 3)
		if err != nil || len(found) != 1 || found[0] != (db.Found{Kind: "provider", ID: "ä"}) {
			t.Errorf("%v %v", err, found)
		}
	})
}

// TestAmount_Large: what does not fit a column is refused, never cut.
func TestAmount_Large(t *testing.T) {
	t.Parallel()
	if v, err := db.Amount(market.Amount(math.MaxInt64)); err != nil || v != math.MaxInt64 {
		t.Error(v, err)
	}
	if _, err := db.Amount(market.Amount(math.MaxInt64 + 1)); !errors.Is(err, db.ErrTooLarge) {
		t.Error(err)
	}
}

// TestOpen_Again: a second start finds what the first left, under the same epoch; a newer form is refused by name.
func TestOpen_Again(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, at string) {
		apply(t, d, start, db.Change{Rigs: []db.Rig{rig(1, 1, "a", 1, 1, 1)}, Meta: map[string]string{"cursor": "7"},
			Buckets: []db.Bucket{{Metric: "ask", Key: "a", Mint: sol, Step: 3600, At: 5, N: 1}},
			Digests: []db.Digest{{Slot: 18000, What: "channels", Part: 3, N: 1, Hash: "h"}}})
		second, err := db.Open(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		v, err := second.Meta(t.Context(), "cursor")
		if err != nil || v != "7" || second.Epoch() != d.Epoch() || d.Epoch() == "" {
			t.Errorf("%v: cursor %q, epoch %q and %q", err, v, d.Epoch(), second.Epoch())
		}
		b, err := second.Buckets(t.Context(), "ask", "a", 3600, 0, 9)
		g, err2 := second.Digests(t.Context(), "channels", 20000)
		if err != nil || err2 != nil || len(b) != 1 || len(g) != 1 || g[0].Hash != "h" {
			t.Errorf("%v %v: %v %v", err, err2, b, g)
		}
		apply(t, second, start, db.Change{Meta: map[string]string{"schema": "999"}})
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Open(t.Context(), at); market.CodeOf(err) != market.CodeVersionMismatch {
			t.Errorf("a newer form: %v", err)
		}
	})
}

// TestOpen_NoDatabase: the error has a code, and no password.
func TestOpen_NoDatabase(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := db.Open(ctx, "postgres://user:hunter2@127.0.0.1:1/none?sslmode=disable")
	if market.CodeOf(err) != market.CodeIndexUnusable {
		t.Errorf("%v", err)
	}
	var e *market.Error
	if errors.As(err, &e) && strings.Contains(e.Detail, "hunter2") {
		t.Errorf("the password is told: %s", e.Detail)
	}
	if _, err := db.Open(ctx, "/proc/nothing/index.db"); market.CodeOf(err) != market.CodeIndexUnusable {
		t.Errorf("%v", err)
	}
}
