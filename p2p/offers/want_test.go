package offers

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

func want(seq time.Time, slot uint8) market.Want {
	return market.Want{Seq: uint64(seq.UnixMilli()), Lifetime: 10 * time.Minute, Slot: slot,
		Classes: []string{"rtx-4090"}, Devices: 1, MaxRate: 3_000_000}
}

func sealedWant(t testing.TB, key ed25519.PrivateKey, w market.Want) []byte {
	t.Helper()
	raw, err := wire.SealWant(key, p2ptest.Network, w)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestWant_EachStep(t *testing.T) {
	t.Parallel()
	now := time.Now()
	key := p2ptest.Key(1)
	good := sealedWant(t, key, want(now, 0))
	change := func(i int, b byte) []byte {
		raw := bytes.Clone(good)
		raw[i] ^= b
		return raw
	}
	for name, c := range map[string]struct {
		raw  []byte
		want pubsub.ValidationResult
	}{
		"good":          {good, pubsub.ValidationAccept},
		"too large":     {append(bytes.Clone(good), make([]byte, wire.MaxWant)...), pubsub.ValidationReject},
		"bad body":      {change(len(good)-1, 0xff), pubsub.ValidationReject},
		"bad signature": {change(40, 1), pubsub.ValidationReject},
		"from future":   {sealedWant(t, key, want(now.Add(2*time.Minute), 0)), pubsub.ValidationIgnore},
		"expired":       {sealedWant(t, key, want(now.Add(-11*time.Minute), 0)), pubsub.ValidationIgnore},
	} {
		s := idle(t)
		if got := s.gossip(t.Context(), "peer", message(c.raw)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if got, ok := len(s.Wants()), c.want == pubsub.ValidationAccept; got == 1 != ok {
			t.Errorf("%s: %d held", name, got)
		}
	}
}

// TestWant_NewerTakesTheSlot: each slot has its own newest, a withdrawn one stands for none, and an old copy of what it
// withdrew does not come back.
func TestWant_NewerTakesTheSlot(t *testing.T) {
	t.Parallel()
	s, now, key := idle(t), time.Now(), p2ptest.Key(1)
	first := sealedWant(t, key, want(now.Add(-time.Minute), 0))
	gone := want(now, 0)
	gone.Devices = 0
	for i, c := range []struct {
		raw  []byte
		want pubsub.ValidationResult
		held int
	}{
		{first, pubsub.ValidationAccept, 1},
		{sealedWant(t, key, want(now, 7)), pubsub.ValidationAccept, 2},
		{sealedWant(t, p2ptest.Key(2), want(now, 0)), pubsub.ValidationAccept, 3},
		{sealedWant(t, key, gone), pubsub.ValidationAccept, 2},
		{first, pubsub.ValidationIgnore, 2},
		{sealedWant(t, key, want(now.Add(time.Second), 0)), pubsub.ValidationAccept, 3},
	} {
		if got := s.gossip(t.Context(), "peer", message(c.raw)); got != c.want || len(s.Wants()) != c.held {
			t.Errorf("%d: %v, want %v; %d held, want %d", i, got, c.want, len(s.Wants()), c.held)
		}
	}
	if n := len(s.bids.drain()); n != 3 {
		t.Errorf("the sink is told of %d slots", n)
	}
}

func TestWant_SlotFlood_RateLimited(t *testing.T) {
	t.Parallel()
	s, now := idle(t), time.Now()
	s.now = func() time.Time { return now }
	accepted := 0
	for i := range 100 {
		raw := sealedWant(t, p2ptest.Key(1), want(now.Add(time.Duration(i)*time.Millisecond), 0))
		if s.gossip(t.Context(), "peer", message(raw)) == pubsub.ValidationAccept {
			accepted++
		}
	}
	if accepted != wantBurst {
		t.Errorf("%d of 100 in a moment, want %d", accepted, wantBurst)
	}
}

// TestWant_FreshKeysFlood_DisplacesNobodyKnown: a full set keeps those that were there before the flood, and the next
// honest newcomer still gets in.
func TestWant_FreshKeysFlood_DisplacesNobodyKnown(t *testing.T) {
	t.Parallel()
	s, start := newWants(), time.Now()
	s.max = 256
	put := func(i int, now time.Time) {
		w := want(now, 0)
		binary.BigEndian.PutUint32(w.Customer[:], uint32(i))
		var id market.DocID
		binary.BigEndian.PutUint64(id[:], w.Seq)
		binary.BigEndian.PutUint32(id[8:], uint32(i))
		s.put(&heldWant{want: w, id: id}, now)
	}
	for i := range 100 {
		put(i, start)
	}
	later := start.Add(wantYouth)
	for i := range 20_000 {
		put(1000+i, later)
	}
	if len(s.rows) != 256 || len(s.ids) != 256 {
		t.Errorf("%d rows, %d ids", len(s.rows), len(s.ids))
	}
	lost := 0
	for i := range 100 {
		var k wantKey
		binary.BigEndian.PutUint32(k.signer[:], uint32(i))
		if s.rows[k] == nil {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of 100 known ones were displaced", lost)
	}
	s.expire(later.Add(10 * time.Minute))
	if len(s.rows)+len(s.ids) != 0 {
		t.Errorf("expired ones stay: %d, %d", len(s.rows), len(s.ids))
	}
}

// TestWant_FreshKeysFlood_CostsItsForwarder: as with Offers, one neighbour's flood leaves room for what others bring.
func TestWant_FreshKeysFlood_CostsItsForwarder(t *testing.T) {
	t.Parallel()
	s, now := idle(t), time.Now()
	s.now = func() time.Time { return now }
	for i := range 1000 {
		key := ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint32(make([]byte, 28), uint32(i)))
		s.gossip(t.Context(), "flooder", message(sealedWant(t, key, want(now, 0))))
	}
	if n := len(s.Wants()); n == 0 || n > newcomerBurst {
		t.Errorf("%d of 1,000 fresh keys taken from one neighbour", n)
	}
	if got := s.gossip(t.Context(), "honest",
		message(sealedWant(t, p2ptest.Key(200), want(now, 0)))); got != pubsub.ValidationAccept {
		t.Errorf("an honest one: %v", got)
	}
}

// TestSync_BringsWants: one session leaves both sides with each other's Offers and Wants, withdrawn ones included.
func TestSync_BringsWants(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, b := idle(t), idle(t)
	gone := want(now, 1)
	gone.Devices = 0
	for s, docs := range map[*Service][][]byte{
		a: {sealed(t, 1, offer(now)), sealedWant(t, p2ptest.Key(1), want(now, 0)), sealedWant(t, p2ptest.Key(1), gone)},
		b: {sealedWant(t, p2ptest.Key(2), want(now, 0)), sealedWant(t, p2ptest.Key(1), want(now.Add(-time.Second), 1))},
	} {
		for _, raw := range docs {
			if err := s.take(raw, now, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	session(t, a, b)
	session(t, b, a)
	if !bytes.Equal(hashIDs(a.list(wire.Whole)), hashIDs(b.list(wire.Whole))) || len(a.list(wire.Whole)) != 4 {
		t.Errorf("a holds %d, b %d", len(a.list(wire.Whole)), len(b.list(wire.Whole)))
	}
	if n := len(b.Wants()); n != 2 {
		t.Errorf("b knows of %d wants", n)
	}
	if err := b.take(sealedWant(t, p2ptest.Key(1), want(now.Add(-time.Second), 1)), now, nil); !errors.Is(err, errOld) {
		t.Errorf("what was withdrawn comes back: %v", err)
	}
}

// wantNode notes Wants beside Offers.
type wantNode struct {
	*sink
	got map[market.NodeID]bool
}

func (n *wantNode) Want(w market.Want, _ market.DocID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got[w.Customer] = !w.Withdrawn()
}

func (n *wantNode) wants(id market.NodeID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got[id]
}

// TestSim_Want_IsHeardAndWithdrawn: gossip brings a Want to those who are there, sync to one that comes later, and both
// its end.
func TestSim_Want_IsHeardAndWithdrawn(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		all := swarm(t, net, 4)
		buyer := all[0]
		publish := func(w market.Want) {
			if err := buyer.s.Publish(t.Context(), sealedWant(t, p2ptest.Key(buyer.key), w)); err != nil {
				t.Fatal(err)
			}
		}
		publish(want(time.Now(), 0))
		late := &wantNode{sink: newSink(), got: map[market.NodeID]bool{}}
		host := net.Start(t, p2p.Config{Key: p2ptest.Key(100), Bootstrap: all[3].FullAddrs()})
		s := New(host, nil, late)
		p2ptest.Serve(t, s.Serve)
		time.Sleep(30 * time.Second)
		for i, n := range all {
			if got := n.s.Wants(); len(got) != 1 || got[0].Customer != buyer.ID() {
				t.Errorf("node %d knows of %d wants", i, len(got))
			}
		}
		if !late.wants(buyer.ID()) {
			t.Error("a node that came later does not know of it")
		}
		gone := want(time.Now(), 0)
		gone.Devices = 0
		publish(gone)
		time.Sleep(5 * time.Second)
		if late.wants(buyer.ID()) || len(s.Wants()) != 0 {
			t.Error("it is still wanted")
		}
	})
}
