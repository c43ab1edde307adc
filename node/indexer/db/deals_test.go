package db_test

import (
	"crypto/ed25519"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

const hour = 3_600_000

func keyOf(n int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, 30), byte(n>>8), byte(n)))
}

func nodeOf(n int) market.NodeID { return market.NodeID(keyOf(n).Public().(ed25519.PublicKey)) }

// account is the n-th channel, between a payer and a payee.
func account(n, payer, payee int, settled int64) db.Channel {
	key := keyOf(1000 + n).Public().(ed25519.PublicKey)
	return db.Channel{ID: market.ChannelID{byte(n >> 8), byte(n), 1}.String(), Payer: fmt.Sprint("payer", payer),
		Payee: fmt.Sprint("payee", payee), Mint: sol, Decimals: 9, Deposit: 1 << 50, Settled: settled,
		OpenedAt: start.Unix() - 90*86_400, Slot: 10, VoucherKey: market.Address(key).String()}
}

// lease is one of a channel that ran for an hour at a rate, and ended so many ms after start.
func lease(n int, of db.Channel, rate, ended int64) db.Lease {
	var ch [2]byte
	id, err := market.ParseAddress(of.ID)
	if err != nil {
		panic(err)
	}
	copy(ch[:], id[:])
	voucher := keyOf(1000 + int(ch[0])<<8 + int(ch[1]))
	customer := nodeOf(1)
	bind := escrow.SignBind(voucher, customer, market.ChannelID(id))
	end := start.UnixMilli() + ended
	return db.Lease{ID: fmt.Sprintf("lease_%05d", n), Accepted: end - hour - 5000, Ready: end - hour, Ended: end,
		BillableMS: hour, Amount: rate, Code: "completed", Fault: int64(market.FaultNone),
		ByProvider: fmt.Appendf(nil, "p%d", n), ByCustomer: fmt.Appendf(nil, "c%d", n),
		Deal: db.Deal{Class: "a", Mint: sol, Devices: 1, Rate: rate, Provider: nodeOf(2).String(),
			Customer: customer.String(), Channel: of.ID, Payer: of.Payer, Payee: of.Payee, Bind: bind[:]}}
}

func settledOf(t *testing.T, d *db.DB) map[string]db.Settled {
	t.Helper()
	list, err := d.Leases(t.Context(), db.LeaseQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]db.Settled{}
	for _, l := range list {
		out[l.ID] = l.Settled
	}
	return out
}

// TestLeases_SettledByTheChain: a lease is covered once its channel has settled it and those that ended before; one
// that names another payer, is not bound to the channel, or is older than it, never is and takes nothing of the others.
func TestLeases_SettledByTheChain(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		c := account(1, 1, 1, 0)
		a, b, z := lease(1, c, 100, 1), lease(2, c, 50, 2), lease(3, c, 1, 3)
		payer, unbound, stranger, old := lease(4, c, 7, 0), lease(5, c, 7, 0), lease(6, c, 7, 0), lease(7, c, 7, 0)
		payer.Payer = "another"
		unbound.Bind = nil
		stranger.Customer = nodeOf(9).String() // the signature is for another customer
		old.Accepted = c.OpenedAt*1000 - 200_000
		foreign := []db.Lease{payer, unbound, stranger, old}
		apply(t, d, start, db.Change{Leases: append([]db.Lease{z, b, a}, foreign...)})
		for id, s := range settledOf(t, d) {
			if s != db.SettledUnknown {
				t.Errorf("%s before the channel is known: %d", id, s)
			}
		}
		for i, step := range []struct {
			settled int64
			want    [3]db.Settled
		}{
			{0, [3]db.Settled{db.SettledNot, db.SettledNot, db.SettledNot}},
			{120, [3]db.Settled{db.SettledCovered, db.SettledNot, db.SettledNot}}, // the third would fit, and waits
			{151, [3]db.Settled{db.SettledCovered, db.SettledCovered, db.SettledCovered}},
		} {
			c.Settled, c.Slot = step.settled, int64(20+i)
			apply(t, d, start, db.Change{Channels: []db.Channel{c}})
			got := settledOf(t, d)
			if now := [3]db.Settled{got[a.ID], got[b.ID], got[z.ID]}; now != step.want {
				t.Errorf("%d settled: %v, want %v", step.settled, now, step.want)
			}
			for _, l := range foreign {
				if got[l.ID] != db.SettledForeign {
					t.Errorf("%d settled: %s is %d", step.settled, l.ID, got[l.ID])
				}
			}
		}
		apply(t, d, start, db.Change{Channels: []db.Channel{{ID: c.ID, Status: 255, Slot: 90}}})
		if got := settledOf(t, d); got[a.ID] != db.SettledCovered || got[z.ID] != db.SettledCovered {
			t.Errorf("the channel has gone: %v", got)
		}
	})
}

// TestLeases_OneRowEach: the same lease again changes nothing. Others may sign for its id, and have a row of their own;
// of two documents by the same two the one that claims less counts, whichever comes first.
func TestLeases_OneRowEach(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		c := account(1, 1, 1, 1000)
		a := lease(1, c, 100, 0)
		apply(t, d, start, db.Change{Channels: []db.Channel{c}, Leases: []db.Lease{a}})
		tag := d.Tag("signed")
		if got := apply(t, d, start, db.Change{Leases: []db.Lease{a}}); got.Leases != 0 || d.Tag("signed") != tag {
			t.Errorf("again: %+v", got)
		}
		thief := a
		thief.Customer, thief.Provider, thief.Amount = nodeOf(8).String(), nodeOf(7).String(), 1
		more, less := a, a
		more.Amount, less.Amount = 200, 90
		apply(t, d, start, db.Change{Leases: []db.Lease{thief}})
		apply(t, d, start, db.Change{Leases: []db.Lease{more}})
		apply(t, d, start, db.Change{Leases: []db.Lease{less}})
		apply(t, d, start, db.Change{Leases: []db.Lease{a}})
		l, err := d.Lease(t.Context(), a.ID)
		list, err2 := d.Leases(t.Context(), db.LeaseQuery{Limit: 9})
		if err != nil || err2 != nil || l.Amount != 90 || l.Customer != a.Customer || len(list) != 2 ||
			l.Settled != db.SettledCovered || l.FirstAt != start.UnixMilli() {
			t.Errorf("%v %v: %d rows, the lease %+v", err, err2, len(list), l)
		}
	})
}

// TestLeases_PagesAreWhole: pages of any size give each lease once, the newest end first, also by wallet and provider.
func TestLeases_PagesAreWhole(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		var all []db.Lease
		for n := range 603 {
			all = append(all, lease(n, account(n%5, n%3, 0, 0), 1, int64(n/7)))
		}
		apply(t, d, start, db.Change{Leases: all})
		for _, q := range []db.LeaseQuery{{Limit: 50}, {Limit: 7, Wallet: "payer1"}, {Limit: 200, Class: "a",
			Provider: nodeOf(2).String(), Customer: nodeOf(1).String()}, {Limit: 600, Wallet: "payee0"}} {
			var got []string
			for {
				page, err := d.Leases(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range page {
					got = append(got, fmt.Sprintf("%d %s", l.Ended, l.ID))
				}
				if len(page) < q.Limit {
					break
				}
				q.After = &page[len(page)-1]
			}
			want := 603
			if q.Wallet == "payer1" {
				want = 201
			}
			slices.Reverse(got)
			if len(got) != want || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != want {
				t.Errorf("%+v: %d leases, want %d", q, len(got), want)
			}
		}
	})
}

// clear makes all prices that are due, and returns them.
func clear(t *testing.T, d *db.DB) []db.Cleared {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = d.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := d.Cleared(t.Context(), "a", sol, 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// month are channels and leases of a crowd, some of them covered, some not.
func month(r *rand.Rand) (out []db.Change) {
	n := 0
	for i := range 60 {
		c := account(i, r.IntN(30), r.IntN(20), 0)
		for range 1 + r.IntN(9) {
			l := lease(n, c, 1_000_000+r.Int64N(500_000), r.Int64N(40*hour))
			n++
			if c.Settled += l.Amount; r.IntN(4) == 0 {
				c.Settled -= l.Amount / 2
			}
			out = append(out, db.Change{Leases: []db.Lease{l}})
		}
		early := c
		early.Settled, early.Slot = c.Settled/3, 5
		out = append(out, db.Change{Channels: []db.Channel{c}}, db.Change{Channels: []db.Channel{early}})
	}
	return out
}

// TestCleared_TwoIndexers_AnyOrder: two indexes on different databases that read the same in different orders, one of
// them with prices made after each step, have the same prices to the last byte, and the same leases are covered.
func TestCleared_TwoIndexers_AnyOrder(t *testing.T) {
	t.Parallel()
	one, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := db.Open(t.Context(), dbtest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	r := rand.New(rand.NewPCG(7, 36))
	all := month(r)
	var whole db.Change
	for _, c := range all {
		whole.Leases = append(whole.Leases, c.Leases...)
		whole.Channels = append(whole.Channels, c.Channels...)
	}
	seen := map[string]bool{} // a change names a channel once
	whole.Channels = slices.DeleteFunc(whole.Channels, func(c db.Channel) bool {
		was := seen[c.ID]
		seen[c.ID] = true
		return was
	})
	apply(t, one, start, whole)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, c := range all {
		apply(t, two, start.Add(time.Duration(i)*time.Minute), c)
		if i%20 == 0 {
			clear(t, two)
		}
	}
	a, b := clear(t, one), clear(t, two)
	if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) || len(a) < 30 {
		t.Errorf("%d and %d hours:\n%s", len(a), len(b), cmp.Diff(a, b))
	}
	if x, y := settledOf(t, one), settledOf(t, two); !cmp.Equal(x, y) {
		t.Error(cmp.Diff(x, y))
	}
	paid := map[string]int64{}
	list, err := one.Leases(t.Context(), db.LeaseQuery{Least: db.SettledCovered, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		paid[l.Channel] += l.Amount
	}
	for id, v := range paid {
		if c, err := one.Channel(t.Context(), id); err != nil || v > c.Settled {
			t.Errorf("%v: leases of %d are covered, the channel has settled %d", err, v, c.Settled)
		}
	}
	prices, waits := 0, 0
	for _, c := range a {
		if c.N > 0 {
			prices++
		}
		waits += int(c.Waiting)
	}
	if prices < 30 || waits == 0 {
		t.Errorf("%d hours have a price, %d leases wait", prices, waits)
	}
}

// TestCleared_LateChangesItsHours: a lease that comes late, and one that is settled late, change the hours that they
// ran in and no others.
func TestCleared_LateChangesItsHours(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		c := account(1, 1, 1, 1<<40)
		base := start.UnixMilli() / hour * hour
		from := base - start.UnixMilli() // so that ends are whole hours
		apply(t, d, start, db.Change{Channels: []db.Channel{c}, Leases: []db.Lease{lease(1, c, 100, from+hour),
			lease(2, c, 100, from+2*hour), lease(3, c, 100, from+3*hour)}})
		was := clear(t, d)
		waiting := account(2, 2, 2, 0)
		late := lease(4, waiting, 900, from+2*hour)
		apply(t, d, start.Add(24*time.Hour), db.Change{Channels: []db.Channel{waiting}, Leases: []db.Lease{late}})
		waiting.Settled, waiting.Slot = 900, 11
		is := clear(t, d)
		if len(was) != 3 || len(is) != 3 || is[0] != was[0] || is[2] != was[2] || is[1].Waiting != 1 ||
			is[1].Price != 100 || is[1].N != 1 || is[1].At != base+hour {
			t.Errorf("was %+v, is %+v", was, is)
		}
		apply(t, d, start.Add(25*time.Hour), db.Change{Channels: []db.Channel{waiting}})
		is = clear(t, d)
		if is[0] != was[0] || is[2] != was[2] || is[1].Waiting != 0 || is[1].N != 2 || is[1].Pairs != 2 {
			t.Errorf("settled: %+v", is)
		}
	})
}

// TestCleared_Absurd: leases whose amount is not that of their time, or of no length, or of amounts near 2^63 tell no
// price and overflow nothing.
func TestCleared_Absurd(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		c := account(1, 1, 1, math.MaxInt64)
		good := lease(1, c, 100, -5)
		half, huge, instant, before, self := lease(2, c, 100, -4), lease(3, c, 100, -3), lease(4, c, 100, -2),
			lease(5, c, 100, -1), lease(6, c, 100, -9)
		half.Amount = 50
		huge.Amount, huge.Rate = math.MaxInt64, math.MaxInt64
		instant.Ready = instant.Ended
		before.Ready = before.Ended + hour
		self.Provider = self.Customer
		apply(t, d, start, db.Change{Channels: []db.Channel{c},
			Leases: []db.Lease{good, half, huge, instant, before, self}})
		for _, h := range clear(t, d) {
			if h.N > 1 || h.N == 1 && h.Price != 100 {
				t.Errorf("%+v", h)
			}
		}
		m := sum(t, d, start)
		if p, ok := m.Last24("a", sol); !ok || p.Price != 100 || p.N != 1 ||
			m.Jobs.N != 3 { // those that ended after the huge one wait
			t.Errorf("%v %+v, %d jobs", ok, p, m.Jobs.N)
		}
	})
}

// TestProbes_ManyOfOneRig: what waited while the database was away comes in at once, each probe of a day counted, the
// newest answer kept.
func TestProbes_ManyOfOneRig(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		at := start.UnixMilli()
		apply(t, d, start, db.Change{Rigs: []db.Rig{rig(1, 1, "a", 5, 1, 1)}, Probes: []db.Probe{
			{Peer: "peer00001", At: at + 3}, {Peer: "peer00001", At: at + 2, OK: true, RTT: 9},
			{Peer: "peer00001", At: at + 1, OK: true, RTT: 5}}})
		r, err := d.Rig(t.Context(), "peer00001")
		days, err2 := d.Uptime(t.Context(), "peer00001", 0)
		if err != nil || err2 != nil || r.ProbedAt != at+3 || r.Reached != at+2 || r.RTT != 9 ||
			r.Lots[0].Reached != at+2 || len(days) != 1 || days[0].Probes != 3 || days[0].Reached != 2 {
			t.Errorf("%v %v: %+v %v", err, err2, r, days)
		}
	})
}

// TestClear_GoesRound: hours that are due again and again keep no others waiting.
func TestClear_GoesRound(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		c := account(1, 1, 1, 1<<50)
		var list []db.Lease
		for n := range 90 { // more than one call makes
			l := lease(n, c, 100, int64(n)*2*hour)
			l.Class = "first"
			list = append(list, l)
		}
		last := lease(1000, c, 100, 0)
		apply(t, d, start, db.Change{Channels: []db.Channel{c}, Leases: append(list, last)})
		for n := range 20 {
			if _, err := d.Clear(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := d.Cleared(t.Context(), "a", sol, 0, 9); err != nil || len(got) > 0 {
				return
			}
			for i := range list { // all of them change
				list[i].Amount--
			}
			apply(t, d, start.Add(time.Duration(n)), db.Change{Leases: list})
		}
		t.Error("after 20 calls the last model has no price")
	})
}

// TestLeases_Unbacked_AreForgotten: a lease that no channel stands for is kept for two days, one that is paid for ever;
// a channel has room for so many.
func TestLeases_Unbacked_AreForgotten(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		c := account(1, 1, 1, 1<<50)
		paid, forged := lease(1, c, 100, 0), lease(2, account(2, 1, 1, 0), 100, 0)
		apply(t, d, start, db.Change{Channels: []db.Channel{c}, Leases: []db.Lease{paid, forged}})
		if got := settledOf(t, d); len(got) != 2 {
			t.Errorf("%v", got)
		}
		apply(t, d, start.Add(49*time.Hour), db.Change{Leases: []db.Lease{lease(3, c, 100, 49*hour)}})
		if got := settledOf(t, d); len(got) != 2 || got[paid.ID] != db.SettledCovered {
			t.Errorf("two days later: %v", got)
		}
	})
	at, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	var list []db.Lease
	for n := range 10_003 {
		l := lease(n, account(1, 1, 1, 0), 1, int64(n))
		l.Ready = 0 // it has no hour
		list = append(list, l)
	}
	for part := range slices.Chunk(list, 400) {
		if a := apply(t, at, start, db.Change{Leases: part}); a.Refused > 3 {
			t.Fatalf("%+v", a)
		}
	}
	if a := apply(t, at, start,
		db.Change{Leases: []db.Lease{lease(20_000, account(1, 1, 1, 0), 1, 5)}}); a.Refused != 1 {
		t.Errorf("one over the bound: %+v", a)
	}
}

// TestCleared_WashTrades: 30 of 100 leases of an hour are by one pair with a channel of its own, paid in full, at a
// thousandfold price: the hour's price moves by less than a hundredth. Outcomes that name a stranger's channel change
// nothing at all.
func TestCleared_WashTrades(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		r := rand.New(rand.NewPCG(3, 36))
		var c db.Change
		for i := range 210 {
			ch := account(i, r.IntN(150), r.IntN(110), 1<<40)
			c.Channels = append(c.Channels, ch)
			c.Leases = append(c.Leases, lease(i, ch, 1_000_000+r.Int64N(300_000), hour))
		}
		apply(t, d, start, c)
		was := clear(t, d)
		wash, stranger := account(500, 900, 900, 1<<50), c.Channels[7]
		var more db.Change
		for i := range 90 {
			l := lease(1000+i, wash, 1_000_000_000, hour)
			l.Devices, l.Amount = 64, 64*l.Rate
			forged := lease(2000+i, stranger, 1, hour-int64(i))
			forged.Customer, forged.Provider = nodeOf(300+i).String(), nodeOf(400).String()
			more.Leases = append(more.Leases, l, forged)
		}
		more.Channels = []db.Channel{wash}
		apply(t, d, start, more)
		is := clear(t, d)
		if len(was) != 1 || len(is) != 1 || was[0].N != 210 || is[0].N != 300 {
			t.Fatalf("was %+v, is %+v", was, is)
		}
		if moved := is[0].Price - was[0].Price; moved < 0 || moved*100 >= was[0].Price {
			t.Errorf("from %d to %d", was[0].Price, is[0].Price)
		}
		if got := settledOf(t, d); got[c.Leases[7].ID] != db.SettledCovered || got["lease_02000"] != db.SettledForeign {
			t.Errorf("%v", got)
		}
	})
}
