package provider

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/meter"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// buyer is customer n's key and node.
func buyer(n byte) (ed25519.PrivateKey, market.NodeID) {
	key := ed25519.NewKeyFromSeed(append(make([]byte, 31), n))
	return key, market.NodeID(key.Public().(ed25519.PublicKey))
}

// signed is a lease of customer n with real documents, on the first device and on channel n.
func signed(t *testing.T, p *Provider, n, nonce byte) *proposal {
	t.Helper()
	key, from := buyer(n)
	now := p.now().Truncate(time.Millisecond)
	o := market.Order{Nonce: market.OrderID{nonce}, Customer: from, Payer: market.Address{n}, Created: now,
		ValidUntil: now.Add(time.Minute), Devices: 1, Image: "busybox@sha256:" + strings.Repeat("a", 64),
		CPUMilli: 500, RAM: 64 << 20, Disk: 1 << 28, Egress: market.EgressNone, MaxRate: 4_000_000_000,
		Budget: 500_000_000, MaxDuration: 10 * time.Minute, StopGrace: time.Second}
	rawOrder, err := wire.SealOrder(key, p.cfg.Network, o)
	if err != nil {
		t.Fatal(err)
	}
	env, err := wire.Open(rawOrder, p.cfg.Network)
	if err != nil {
		t.Fatal(err)
	}
	q := market.Quote{Order: env.ID, Devices: []market.DeviceID{p.View().Devices[0].ID}, Rate: 3_600_000,
		Created: now, Expires: now.Add(20 * time.Second), Tick: time.Second, Hold: time.Minute, PrepMax: time.Minute,
		MinHeadroom: 60, FloorRate: 1}
	rawQuote, err := wire.SealQuote(p.cfg.Key, p.cfg.Network, q)
	if err != nil {
		t.Fatal(err)
	}
	sp, err := spec.Spec{Command: []string{"/job"}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	body := market.Proposal{Order: rawOrder, Quote: rawQuote, Channel: market.ChannelID{n}, Cap: 100, Spec: sp,
		Created: now, AcceptUntil: now.Add(time.Minute), Nonce: [16]byte{nonce}}
	raw, err := wire.SealProposal(key, p.cfg.Network, body)
	if err != nil {
		t.Fatal(err)
	}
	if env, err = wire.Open(raw, p.cfg.Network); err != nil {
		t.Fatal(err)
	}
	return &proposal{id: market.LeaseID(env.ID), from: from, body: body, order: o, quote: q, raw: raw}
}

// ended makes a run of a lease that is over, and stores it as a node of before left it: in the bucket ticks.
func ended(t *testing.T, p *Provider, pr *proposal, paid market.Amount) *leaseRun {
	t.Helper()
	l, err := p.desk.newLease(pr, pr.body.Channel)
	if err != nil {
		t.Fatal(err)
	}
	m := l.actor.Lease()
	m.State, m.Code, m.Ready, m.Ended = market.Ended, "completed", m.Accepted, p.now().UTC()
	m.Meter, m.Paid = meter.Meter{BillableMS: 5000}, paid
	tick := rows.Tick{Lease: m, Receipt: []byte("receipt")}
	if l, err = p.desk.runOf(l.row, tick, pr); err != nil {
		t.Fatal(err)
	}
	c := store.Change{Puts: []store.Put{l.document(),
		{Bucket: store.BucketTicks, Key: pr.id[:], Value: tick.Encode()}}}
	if err := p.db.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return l
}

func started(t *testing.T, dir string) *Provider {
	t.Helper()
	p := role(t, dir, 2)
	t.Cleanup(func() {
		if err := p.db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(p.loaded)
	return p
}

// TestDesk_Indexes: a lease is found by its id, its customer and its channel until it is closed.
func TestDesk_Indexes(t *testing.T) {
	t.Parallel()
	p := started(t, t.TempDir())
	d := p.desk
	one, two := ended(t, p, signed(t, p, 1, 1), 5000), ended(t, p, signed(t, p, 1, 2), 5000)
	other := ended(t, p, signed(t, p, 2, 3), 0)
	for _, l := range []*leaseRun{one, two, other} {
		d.enter(l)
	}
	if len(d.ofCustomer(one.customer)) != 2 || len(d.ofCustomer(other.customer)) != 1 || len(d.all()) != 3 ||
		d.find(two.id) != two || len(d.byChannel[one.channel]) != 2 {
		t.Errorf("%d of the first customer, %d of the other, %d in all", len(d.ofCustomer(one.customer)),
			len(d.ofCustomer(other.customer)), len(d.all()))
	}
	if err := d.close(t.Context(), one, other); err != nil {
		t.Fatal(err)
	}
	if d.find(one.id) != nil || d.find(two.id) != two || len(d.ofCustomer(one.customer)) != 1 || len(d.all()) != 1 ||
		len(d.byCustomer) != 1 || len(d.byChannel) != 1 {
		t.Errorf("%d in all, %d customers, %d channels", len(d.all()), len(d.byCustomer), len(d.byChannel))
	}
}

// TestDesk_Closed_StillAnswers: a lease that has left memory answers its own customer as before, is listed, and nobody
// else's; a node of before kept it, and this one closes it as it starts.
func TestDesk_Closed_StillAnswers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := started(t, dir)
	l := ended(t, p, signed(t, p, 1, 1), 5000)
	if err := p.db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first start finds it in the bucket ticks, the second does not
		p = started(t, dir)
		if n := len(p.desk.all()); n != 0 {
			t.Errorf("%d leases in memory", n)
		}
		s, err := p.Status(t.Context(), l.customer, l.id)
		if err != nil || s.State != market.Ended || s.HighestVoucher != 5000 || string(s.Receipt) != "receipt" ||
			len(s.Decision) == 0 {
			t.Errorf("status %+v, %v", s, err)
		}
		_, stranger := buyer(9)
		if _, err := p.Status(t.Context(), stranger, l.id); market.CodeOf(err) != market.CodeUnknownLease {
			t.Errorf("somebody else hears of it: %v", err)
		}
		if err := p.Propose(t.Context(), l.customer, l.row.Raw); err != nil {
			t.Errorf("proposed again: %v", err)
		}
		if list := p.Leases(); len(list) != 1 || list[0].Lease.Code != "completed" || list[0].Order.RAM != 64<<20 {
			t.Errorf("listed: %+v", list)
		}
		if v, found, err := p.Lease(l.id); !found || err != nil || v.Order.Nonce != l.order.Nonce {
			t.Errorf("%v %v %+v", found, err, v)
		}
		for n, known := range map[byte]bool{1: true, 2: false} {
			_, from := buyer(n)
			if got := p.Ask(market.Order{Payer: market.Address{n}}, from).Known; got != known {
				t.Errorf("customer %d is known: %v", n, got)
			}
		}
		if err := p.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSums_Fold: the share of a lease that has left memory goes out of the channel's books once the chain has settled
// it, and what was earned stays.
func TestSums_Fold(t *testing.T) {
	t.Parallel()
	p := started(t, t.TempDir())
	pr := signed(t, p, 1, 1)
	ch, err := p.books.of(escrow.ChannelState{ID: pr.body.Channel, Status: escrow.StatusOpen, Deposit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if !p.books.enter(ch) {
		t.Fatal("a channel is not entered")
	}
	l := ended(t, p, pr, 100)
	keep := func(f func(*entry)) {
		t.Helper()
		if err := p.books.keep(t.Context(), ch, func(e *entry) error { f(e); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	keep(func(e *entry) {
		account, err := e.Account.AddLease(pr.id, 100, 10)
		if err != nil {
			t.Fatal(err)
		}
		e.Account = account.EndLease(pr.id, 100)
	})
	p.desk.enter(l)
	if err := p.desk.close(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	keep(func(*entry) {})
	if a, _ := ch.See(); len(a.Leases) != 1 {
		t.Fatal("a share is folded before it is settled")
	}
	keep(func(e *entry) { e.Account.Settled = 100 })
	a, r := ch.See()
	if len(a.Leases) != 0 || a.Past.Owed != 100 || len(r.booked().Leases) != 0 || r.booked().Past != 100 ||
		p.books.sums.knows(pr.id) {
		t.Errorf("%d shares, past %+v, bookings %+v", len(a.Leases), a.Past, r.booked())
	}
	keep(func(*entry) {})
	if e := p.Earned(); e.Settled != 100 || e.Claimable != 0 {
		t.Errorf("earned %+v", e)
	}
}
