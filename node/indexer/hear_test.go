package indexer

import (
	"crypto/ed25519"
	"math"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/p2p/wire"
)

func keyOf(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(append(make([]byte, 31), n)) }

func nodeOf(n byte) market.NodeID { return market.NodeID(keyOf(n).Public().(ed25519.PublicKey)) }

// ended is the end of a lease of a channel as its two sides sign it, and its documents.
func ended(t *testing.T, ch market.ChannelID, change func(*market.Outcome)) (o market.Outcome, provider,
	customer []byte) {
	t.Helper()
	now := time.Now().Truncate(time.Millisecond)
	o = market.Outcome{Lease: market.LeaseID{9}, Code: market.CodeCompleted, Fault: market.FaultNone,
		Accepted: now.Add(-70 * time.Minute), Ready: now.Add(-time.Hour), Ended: now, BillableMS: 3_600_000,
		Amount: 5000,
		Deal: market.Deal{Class: "rtx-4090", Rate: 5000, Devices: 1, Channel: ch, Payer: market.Address{1},
			Payee: market.Address{2}, Provider: nodeOf(1), Customer: nodeOf(2),
			Bind: escrow.SignBind(keyOf(7), nodeOf(2), ch)}}
	change(&o)
	var err error
	if provider, err = wire.SealOutcome(keyOf(1), network, o); err == nil {
		customer, err = wire.SealOutcome(keyOf(2), network, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o, provider, customer
}

// written gives the writer one turn.
func written(t *testing.T, x *Indexer) {
	t.Helper()
	if _, err := x.index.Apply(t.Context(), time.Now(), x.take()); err != nil {
		t.Fatal(err)
	}
}

// TestOutcome_ToRow: what both sides signed comes into the index once, and is covered once the chain says so; what does
// not fit is counted and is in no row.
func TestOutcome_ToRow(t *testing.T) {
	t.Parallel()
	id := market.ChannelID{5}
	b := &book{channels: map[market.ChannelID]escrow.ChannelState{id: {Deposit: 9000, Settled: 5000,
		Payer: market.Address{1}, Payee: market.Address{2}, Slot: 9,
		VoucherKey: [32]byte(keyOf(7).Public().(ed25519.PublicKey))}}}
	b.landed = append(b.landed, opening(1, -1, id, 9000))
	x := follower(t, b)
	o, provider, customer := ended(t, id, func(*market.Outcome) {})
	x.Outcome(o, provider, customer)
	x.Outcome(o, provider, customer)
	large := o
	large.Lease, large.Amount = market.LeaseID{8}, math.MaxInt64+1
	x.Outcome(large, provider, customer)
	for _, code := range []market.Code{"a\x1b[2J", "<script>", "Done", market.Code(make([]byte, 60)), "ü"} {
		bad := o
		bad.Lease, bad.Code = market.LeaseID{7}, code
		x.Outcome(bad, provider, customer)
	}
	written(t, x)
	l, err := x.index.Lease(t.Context(), o.Lease.String())
	all, err2 := x.index.Leases(t.Context(), db.LeaseQuery{Limit: 9})
	if err != nil || err2 != nil || len(all) != 1 || x.refused != 6 || l.Settled != db.SettledUnknown ||
		l.Provider != nodeOf(1).String() || l.Mint != db.SOLMint || l.Ready == 0 || l.Outputs != "" {
		t.Fatalf("%v %v: %d rows, %d refused, %+v", err, err2, len(all), x.refused, l)
	}
	if err := x.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l, err = x.index.Lease(t.Context(), o.Lease.String()); err != nil || l.Settled != db.SettledCovered {
		t.Errorf("%v %+v", err, l)
	}
	pair, err := wire.JoinOutcomes(l.ByProvider, l.ByCustomer, network)
	if err != nil || pair.Verify(network) != nil {
		t.Errorf("what it keeps does not verify: %v", err)
	}
}

// TestWant_ToRow: the newest Want of a slot comes into the index, and its end does.
func TestWant_ToRow(t *testing.T) {
	t.Parallel()
	x := follower(t, &book{})
	w := market.Want{Customer: nodeOf(3), Seq: uint64(time.Now().UnixMilli()), Lifetime: 10 * time.Minute, Slot: 2,
		Classes: []string{"rtx-4090", "h100"}, Devices: 2, MaxRate: 70}
	old, gone := w, w
	old.Seq -= 1000
	old.Devices = 8
	gone.Seq += 1000
	gone.Devices = 0
	x.Want(w, market.DocID{1})
	x.Want(old, market.DocID{2})
	written(t, x)
	got, err := x.index.Wants(t.Context(), db.WantQuery{Class: "h100", AfterSlot: -1, Limit: 9})
	if err != nil || len(got) != 1 || got[0].Devices != 2 || got[0].Rate != 70 || got[0].Mint != db.SOLMint {
		t.Errorf("%v %+v", err, got)
	}
	x.Want(gone, market.DocID{3})
	written(t, x)
	if got, err = x.index.Wants(t.Context(), db.WantQuery{AfterSlot: -1, Limit: 9}); err != nil || len(got) != 0 {
		t.Errorf("%v: withdrawn: %+v", err, got)
	}
}

// TestPutBack_KeepsWhatWasNotWritten: of what waits meanwhile the newer stays.
func TestPutBack_KeepsWhatWasNotWritten(t *testing.T) {
	t.Parallel()
	x := follower(t, &book{})
	o, provider, customer := ended(t, market.ChannelID{5}, func(*market.Outcome) {})
	x.Outcome(o, provider, customer)
	w := market.Want{Customer: nodeOf(3), Seq: 5, Lifetime: time.Minute, Classes: []string{"a"}, Devices: 1}
	x.Want(w, market.DocID{})
	c := x.take()
	w.Seq = 6
	x.Want(w, market.DocID{})
	x.putBack(c)
	again := x.take()
	if len(again.Leases) != 1 || len(again.Wants) != 1 || again.Wants[0].Seq != 6 || len(x.take().Leases) != 0 {
		t.Errorf("%+v", again)
	}
}

// TestOffer_Delay: what was signed since this start tells how long gossip takes, what was held before does not, and
// what seems to come from the future took no time.
func TestOffer_Delay(t *testing.T) {
	t.Parallel()
	x := follower(t, &book{})
	for i, signedAt := range []time.Duration{-time.Hour, time.Minute} {
		o, raw := signed(t, byte(i+1), func(o *market.Offer) { o.Seq = uint64(x.since.Add(signedAt).UnixMilli()) })
		x.Offer(o, raw)
		x.Offer(o, raw)
	}
	written(t, x)
	m, err := x.index.Sum(t.Context(), time.Now())
	if err != nil || m.Delay != (db.Gossiped{N: 1, P50: 1, P95: 1}) {
		t.Errorf("%v %+v", err, m.Delay)
	}
}
