package counter

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/meter"
	"github.com/gpuai/gpuai/node/store"
)

// books are those of a rig that nobody owes anything, but for debts.
type books struct {
	debts map[market.NodeID]market.Amount
}

func (books) ClaimFee() market.Amount                           { return 0 }
func (books) ReleaseKey(market.NodeID, market.Address) [32]byte { return [32]byte{} }
func (b books) DebtOf(n market.NodeID, _ market.Address, _ time.Time) market.Amount {
	return b.debts[n]
}

// order is one of customer n, with its own payer.
func order(n byte) market.Order {
	return market.Order{Nonce: market.OrderID{n}, Customer: market.NodeID{n}, Payer: market.Address{n}, Devices: 1}
}

func visit(id byte, o market.Order, m market.Lease) Visit {
	return Visit{Lease: market.LeaseID{id}, Node: o.Customer, Payer: o.Payer, Devices: o.Devices,
		Now: func() market.Lease { return m }}
}

func at(t *testing.T, now time.Time, p Policy, b books) *Counter {
	t.Helper()
	return New(Config{Tick: 10 * time.Second, Policy: p}, Deps{Store: open(t), Books: b,
		Now: func() time.Time { return now }})
}

func open(t *testing.T) *store.Store {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestAdmits_TableOfRules: each rule of the owner's refuses by its own name, and only whom it is about.
func TestAdmits_TableOfRules(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	terms := market.Terms{Rate: 3_600_000, Devices: 1, Tick: 10 * time.Second, Cap: 1_000_000, Budget: 1_000_000}
	live := market.Lease{Common: market.Common{State: market.Preparing, Accepted: ago(time.Minute), Terms: terms}}
	failed := market.Lease{Common: market.Common{State: market.Ended, Accepted: ago(20 * time.Minute),
		Ended: ago(10 * time.Minute)}}
	me, sameNode, samePayer, other := order(1), order(2), order(3), order(4)
	sameNode.Customer, samePayer.Payer = me.Customer, me.Payer
	for name, c := range map[string]struct {
		policy Policy
		of     market.Order // the visits' customer
		visits []market.Lease
		known  bool
		debt   market.Amount
		want   market.Code
	}{
		"nothing": {policy: Policy{PayerStarts: 1, PrepTime: time.Minute, PayerDevices: 1}, of: me},
		"a debt":  {of: me, debt: 5, want: market.CodeDebtUnpaid},
		"a stranger's first tick": {policy: Policy{PayerStarts: 3}, of: me, visits: []market.Lease{live},
			want: market.CodeBusy},
		"the same by node": {policy: Policy{PayerStarts: 3}, of: sameNode, visits: []market.Lease{live},
			want: market.CodeBusy},
		"the same by payer": {policy: Policy{PayerStarts: 3}, of: samePayer, visits: []market.Lease{live},
			want: market.CodeBusy},
		"somebody else's": {policy: Policy{PayerStarts: 3}, of: other, visits: []market.Lease{live}},
		"of who has paid before": {policy: Policy{PayerStarts: 3}, of: me, visits: []market.Lease{live},
			known: true},
		"starts that were not paid": {policy: Policy{PayerStarts: 2}, of: me, visits: []market.Lease{failed, failed},
			want: market.CodePolicy},
		"one less": {policy: Policy{PayerStarts: 3}, of: me, visits: []market.Lease{failed, failed}},
		"preparations without a job": {policy: Policy{PrepTime: 10 * time.Minute}, of: me,
			visits: []market.Lease{failed}, want: market.CodePolicy},
		"a longer allowance": {policy: Policy{PrepTime: 11 * time.Minute}, of: me,
			visits: []market.Lease{failed}},
		"also of who has paid": {policy: Policy{PrepTime: 10 * time.Minute}, of: me,
			visits: []market.Lease{failed}, known: true, want: market.CodePolicy},
		"devices of a payer": {policy: Policy{PayerDevices: 1}, of: samePayer, visits: []market.Lease{live},
			known: true, want: market.CodePolicy},
		"devices of the node only": {policy: Policy{PayerDevices: 1}, of: sameNode, visits: []market.Lease{live},
			known: true},
		"devices that are free": {policy: Policy{PayerDevices: 1}, of: samePayer, visits: []market.Lease{failed},
			known: true},
	} {
		counter := at(t, now, c.policy, books{map[market.NodeID]market.Amount{me.Customer: c.debt}})
		for i, m := range c.visits {
			v := visit(byte(i+1), c.of, m)
			counter.Adopt(v)
		}
		if c.known {
			counter.guests.learn(me.Customer, me.Payer)
		}
		if got := market.CodeOf(counter.Admits(me, me.Customer, now)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestEnter_AtOnce_StrangerGetsOneLease: leases of one customer that are decided at the same time see each other before
// any of them is on disk; one that was not committed leaves no trace.
func TestEnter_AtOnce_StrangerGetsOneLease(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c := at(t, now, Policy{PayerStarts: 1}, books{})
	m := market.Lease{Common: market.Common{State: market.Preparing, Accepted: now}}
	var wg sync.WaitGroup
	won := make(chan func(bool), 8)
	for n := byte(1); n <= 8; n++ {
		wg.Go(func() {
			o := order(1)
			o.Nonce = market.OrderID{n}
			if done, err := c.Enter(visit(n, o, m), o, market.DocID{n}); err == nil {
				won <- done
			} else if market.CodeOf(err) != market.CodeBusy {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d leases of a stranger", len(won))
	}
	(<-won)(false)
	if n := len(c.guests.all) + len(c.guests.visits); n != 0 {
		t.Errorf("%d entries after a commit that failed", n)
	}
	if _, err := c.Enter(visit(9, order(1), m), order(1), market.DocID{9}); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// TestEnter_QuoteIsUsedOnce also where two Quotes were given for one Order, and again after a commit that failed.
func TestEnter_QuoteIsUsedOnce(t *testing.T) {
	t.Parallel()
	c := at(t, time.Unix(1_000_000, 0), Policy{}, books{})
	for n := range byte(2) {
		c.quotes[market.DocID{100 + n}] = &quoted{order: order(1), quote: market.Quote{Order: market.DocID{7}}}
	}
	first, err := c.Enter(visit(1, order(1), market.Lease{Common: market.Common{State: market.Preparing}}), order(1),
		market.DocID{7})
	if err != nil {
		t.Fatal(err)
	}
	second := func() error {
		done, err := c.Enter(visit(2, order(1), market.Lease{Common: market.Common{State: market.Preparing}}), order(1),
			market.DocID{7})
		if err == nil {
			done(true)
		}
		return err
	}
	if err := second(); market.CodeOf(err) != market.CodeQuoteUnknown {
		t.Errorf("used twice: %v", err)
	}
	for n := range byte(2) {
		if err := c.Usable(market.DocID{100 + n}, market.LeaseID{2}); market.CodeOf(err) != market.CodeQuoteUnknown {
			t.Errorf("quote %d is open: %v", n, err)
		}
	}
	first(false)
	if err := second(); err != nil {
		t.Errorf("after a commit that failed: %v", err)
	}
	if err := c.Usable(market.DocID{100}, market.LeaseID{2}); err != nil {
		t.Errorf("its own lease asks again: %v", err)
	}
	if err := c.Usable(market.DocID{99}, market.LeaseID{2}); market.CodeOf(err) != market.CodeQuoteUnknown {
		t.Errorf("never given: %v", err)
	}
}

// TestGuests_OverLeavesAnHourLater: what is counted of leases is bounded by the last hour's.
func TestGuests_OverLeavesAnHourLater(t *testing.T) {
	t.Parallel()
	g, now := newGuests(open(t)), time.Unix(1_000_000, 0)
	for i := range 1000 {
		o := order(byte(i % 7))
		m := market.Lease{Common: market.Common{State: market.Ended, Accepted: now}}
		v := visit(0, o, m)
		v.Lease = market.LeaseID{byte(i >> 8), byte(i), 1}
		g.add(&v)
		g.over(v.Lease, now)
		now = now.Add(time.Minute)
	}
	if len(g.all) != 60 || len(g.past) != 60 {
		t.Errorf("%d visits and %d past ones after 1000 min", len(g.all), len(g.past))
	}
	if got := len(g.of(market.NodeID{3}, market.Address{3})); got < 8 || got > 9 {
		t.Errorf("%d visits of one customer within an hour", got)
	}
}

// TestLeave_WhoHasPaidStaysKnown: on disk, once the lease leaves memory; who has not paid is a stranger again.
func TestLeave_WhoHasPaidStaysKnown(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c := at(t, now, Policy{}, books{})
	terms := market.Terms{Rate: 3_600_000, Devices: 1, Tick: time.Second, Cap: 1_000_000, Budget: 1_000_000}
	m := market.Lease{Common: market.Common{State: market.Ended, Terms: terms, Ended: now,
		Meter: meter.Meter{BillableMS: 5000}}}
	for n, paid := range map[byte]market.Amount{1: 5000, 2: 0} {
		m.Paid = paid
		v := visit(n, order(n), m)
		c.Adopt(v)
		var change store.Change
		done := c.Leave(&change, v)
		if err := c.deps.Store.Commit(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		done(true)
		if len(c.guests.known) != 0 {
			t.Errorf("%d keys stay in memory", len(c.guests.known))
		}
		for _, o := range []market.Order{order(n), {Customer: order(n).Customer}, {Payer: order(n).Payer}} {
			if got := c.Ask(o, o.Customer).Known; got != (paid > 0) {
				t.Errorf("paid %d: known %v", paid, got)
			}
		}
	}
}
