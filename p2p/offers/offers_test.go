package offers

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

type sink struct {
	mu  sync.Mutex
	got map[market.NodeID]market.Offer
}

func (s *sink) Offer(o market.Offer, _ []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got[o.Provider] = o
}

func (s *sink) seq(id market.NodeID) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[id].Seq
}

func newSink() *sink { return &sink{got: map[market.NodeID]market.Offer{}} }

// idle is a service whose host never starts: for tests of the validator.
func idle(t testing.TB) *Service {
	t.Helper()
	h, err := p2p.New(p2p.Config{Network: p2ptest.Network, Key: p2ptest.Key(200)}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(h, nil, newSink())
}

func offer(seq time.Time) market.Offer {
	return market.Offer{
		Seq: uint64(seq.UnixMilli()), Lifetime: time.Hour, Mints: []market.Address{{}}, Version: "test",
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{1}}, Free: 1, Class: "rtx-4090", Name: "RTX 4090",
			Rates: []market.Rate{2_400_000}}},
	}
}

func sealed(t testing.TB, seed byte, o market.Offer) []byte {
	t.Helper()
	raw, err := wire.SealOffer(p2ptest.Key(seed), p2ptest.Network, o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func message(data []byte) *pubsub.Message { return &pubsub.Message{Message: &pb.Message{Data: data}} }

func TestValidator_EachStep(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good := sealed(t, 1, offer(now))
	change := func(i int, b byte) []byte {
		raw := append([]byte{}, good...)
		raw[i] ^= b
		return raw
	}
	other, err := wire.SealStop(p2ptest.Key(1), p2ptest.Network, market.Stop{Code: "x"})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := wire.SealOffer(p2ptest.Key(1), "devnet", offer(now))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want pubsub.ValidationResult
	}{
		"good":           {good, pubsub.ValidationAccept},
		"too large":      {make([]byte, wire.MaxOffer+1), pubsub.ValidationReject},
		"empty":          {nil, pubsub.ValidationReject},
		"newer format":   {change(0, 0x40), pubsub.ValidationIgnore},
		"newer kind":     {change(1, 0x40), pubsub.ValidationIgnore},
		"other kind":     {other, pubsub.ValidationReject},
		"bad body":       {change(len(good)-1, 0xff), pubsub.ValidationReject},
		"bad signature":  {change(40, 1), pubsub.ValidationReject},
		"other network":  {elsewhere, pubsub.ValidationReject},
		"from future":    {sealed(t, 1, offer(now.Add(2*time.Minute))), pubsub.ValidationIgnore},
		"expired":        {sealed(t, 1, offer(now.Add(-2*time.Hour))), pubsub.ValidationIgnore},
		"skewed, within": {sealed(t, 1, offer(now.Add(30*time.Second))), pubsub.ValidationAccept},
	} {
		s := idle(t)
		if got := s.gossip(t.Context(), "peer", message(c.raw)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestValidator_OlderOrSame_Ignored(t *testing.T) {
	t.Parallel()
	s, now := idle(t), time.Now()
	newest := sealed(t, 1, offer(now))
	for i, c := range []struct {
		raw  []byte
		want pubsub.ValidationResult
	}{
		{sealed(t, 1, offer(now.Add(-time.Minute))), pubsub.ValidationAccept},
		{newest, pubsub.ValidationAccept},
		{newest, pubsub.ValidationIgnore},
		{sealed(t, 1, offer(now.Add(-time.Second))), pubsub.ValidationIgnore},
	} {
		if got := s.gossip(t.Context(), "peer", message(c.raw)); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
	if n := len(s.queue.drain()); n != 1 {
		t.Errorf("the sink is told of %d signers", n)
	}
}

func TestValidator_Equivocation_LowerIDWinsInEitherOrder(t *testing.T) {
	t.Parallel()
	now := time.Now()
	other := offer(now)
	other.Version = "other"
	docs := [][]byte{sealed(t, 1, offer(now)), sealed(t, 1, other)}
	var won [2]market.DocID
	for i := range won {
		s := idle(t)
		for j := range docs {
			_ = s.take(docs[(i+j)%2], now, nil) // the second is old in one order
		}
		won[i] = s.set.list(now, wire.Whole)[0]
	}
	if won[0] != won[1] {
		t.Errorf("orders end with %s and %s", won[0], won[1])
	}
}

func TestValidator_ForgeriesFlood_VictimQuotaUntouched(t *testing.T) {
	t.Parallel()
	s, now := idle(t), time.Now()
	real := sealed(t, 1, offer(now))
	for i := range 1000 {
		forged := append([]byte{}, real...)
		binary.BigEndian.PutUint32(forged[50:], uint32(i)) // inside the signature
		if bytes.Equal(forged, real) {
			continue
		}
		if got := s.gossip(t.Context(), peer.ID(fmt.Sprint(i)), message(forged)); got == pubsub.ValidationAccept {
			t.Fatal("forgery accepted")
		}
	}
	s.perNode.SetLimit(1e9) // the flood ends
	s.perNode.SetBurst(1e9)
	if got := s.gossip(t.Context(), "honest", message(real)); got != pubsub.ValidationAccept {
		t.Errorf("real offer: %v", got)
	}
	if a, b := messageID(&pb.Message{Data: real}),
		messageID(&pb.Message{Data: append(append([]byte{}, real[:60]...), real[61:]...)}); a == b {
		t.Error("a forged copy shares the message id")
	}
}

func TestValidator_SignerFlood_RateLimited(t *testing.T) {
	t.Parallel()
	s, now := idle(t), time.Now()
	s.now = func() time.Time { return now }
	for i := range signerBurst + 1 {
		got := s.gossip(t.Context(), "peer", message(sealed(t, 1, offer(now.Add(time.Duration(i)*time.Millisecond)))))
		if want := map[bool]pubsub.ValidationResult{true: pubsub.ValidationAccept,
			false: pubsub.ValidationIgnore}[i < signerBurst]; got != want {
			t.Errorf("offer %d: %v, want %v", i, got, want)
		}
	}
}

func TestValidator_FiveViolations_BanTheForwarder(t *testing.T) {
	t.Parallel()
	s := idle(t)
	p, err := p2p.PeerOf(p2ptest.NodeID(p2ptest.Key(9)))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		s.gossip(t.Context(), p, message([]byte("x")))
	}
	if got := s.score(p); got != -20*4 {
		t.Errorf("score %v", got)
	}
	s.gossip(t.Context(), p, message(make([]byte, wire.MaxOffer+1)))
	if got := s.score(p); got != 0 {
		t.Errorf("count goes on after the ban: %v", got)
	}
}

func numbered(i int) market.NodeID {
	var id market.NodeID
	binary.BigEndian.PutUint32(id[:], uint32(i))
	return id
}

// TestSet_Full_YoungMakeRoom: whoever is known for a day stays, the young displace each other, so that new rigs get in.
func TestSet_Full_YoungMakeRoom(t *testing.T) {
	t.Parallel()
	s, start := openSet(), time.Now()
	s.max = 1000
	put := func(i int, now time.Time) bool {
		id := numbered(i)
		return s.put(id, doc{id: market.DocID(id[:16]), seq: uint64(now.UnixMilli()), expires: now.Add(2 * time.Hour)},
			now)
	}
	for i := range 800 {
		put(i, start)
	}
	day := start.Add(youthAge)
	for i := range 800 {
		put(i, day) // still there
	}
	for i := range 10_000 {
		if !put(1000+i, day) {
			t.Fatalf("new rig %d does not get in", i)
		}
	}
	if len(s.docs) != 1000 || len(s.ids) != 1000 || len(s.young) > 200 {
		t.Errorf("%d documents, %d ids, %d young", len(s.docs), len(s.ids), len(s.young))
	}
	for i := range 800 {
		if _, ok := s.docs[numbered(i)]; !ok {
			t.Fatalf("old rig %d was displaced", i)
		}
	}
	s.expire(day.Add(2 * time.Hour))
	if len(s.docs)+len(s.ids)+len(s.young) != 0 {
		t.Errorf("expired ones stay: %d, %d, %d", len(s.docs), len(s.ids), len(s.young))
	}
}

// TestValidator_FreshKeysFlood_CostsItsForwarder: what one neighbour floods takes nothing from the first Offers that
// others bring, and nothing from signers that are known.
func TestValidator_FreshKeysFlood_CostsItsForwarder(t *testing.T) {
	t.Parallel()
	s, now := idle(t), time.Now()
	s.now = func() time.Time { return now }
	accepted := 0
	for i := range 2000 {
		key := ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint32(make([]byte, 28), uint32(i)))
		raw, err := wire.SealOffer(key, p2ptest.Network, offer(now))
		if err != nil {
			t.Fatal(err)
		}
		if s.gossip(t.Context(), "flooder", message(raw)) == pubsub.ValidationAccept {
			accepted++
		}
	}
	if accepted == 0 || accepted > newcomerBurst {
		t.Errorf("%d of 2,000 fresh keys accepted from one neighbour", accepted)
	}
	for seed := range byte(60) {
		if got := s.gossip(t.Context(), "honest",
			message(sealed(t, 100+seed, offer(now)))); got != pubsub.ValidationAccept {
			t.Fatalf("first offer of an honest rig: %v", got)
		}
	}
}

// session runs one sync/1 session between two services in memory.
func session(t interface{ Fatal(...any) }, client, server *Service) {
	a, b := net.Pipe()
	var wg sync.WaitGroup
	var serr error
	wg.Go(func() { serr = server.server(newFramer(b)); _ = b.Close() })
	cerr := client.client(newFramer(a), wire.Whole, func() {})
	_ = a.Close()
	wg.Wait()
	if err := errors.Join(cerr, serr); err != nil {
		t.Fatal(err)
	}
}

func TestSync_AnyTwoSetsConverge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var docs [][]byte
	for seed := range byte(12) {
		for v := range 2 {
			docs = append(docs, sealed(t, seed+1, offer(now.Add(time.Duration(v-5)*time.Second))))
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		a, b := idle(t), idle(t)
		for _, s := range []*Service{a, b} {
			for _, i := range rapid.SliceOfDistinct(rapid.IntRange(0, len(docs)-1), rapid.ID).Draw(r, "docs") {
				if err := s.take(docs[i], now, nil); err != nil && !errors.Is(err, errOld) {
					r.Fatal(err)
				}
			}
		}
		session(r, a, b)
		if !bytes.Equal(hashIDs(a.set.list(now, wire.Whole)), hashIDs(b.set.list(now, wire.Whole))) {
			r.Fatalf("sets differ after one session: %v, %v", a.set.list(now, wire.Whole), b.set.list(now, wire.Whole))
		}
	})
}

func TestSync_BadDocument_EndsTheSession(t *testing.T) {
	t.Parallel()
	s := idle(t)
	forged := sealed(t, 1, offer(time.Now()))
	forged[50] ^= 1
	a, b := net.Pipe()
	defer a.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer b.Close()
		f := newFramer(b)
		other := idle(t)
		_ = other.take(sealed(t, 2, offer(time.Now())), time.Now(), nil)
		_, _ = f.read()
		_ = f.write(openFrame(other))
		_ = f.write(doneFrame())
		_, _ = f.read()
		_ = f.write(docsFrame(forged))
	})
	if err := s.client(newFramer(a), wire.Whole, func() {}); !errors.Is(err, errBad) {
		t.Error(err)
	}
	wg.Wait()
}

func openFrame(s *Service) *wire.PBSync {
	return &wire.PBSync{Open: s.open(wire.Whole, s.set.list(time.Now(), wire.Whole))}
}
func doneFrame() *wire.PBSync { return &wire.PBSync{Done: true} }
func docsFrame(raw ...[]byte) *wire.PBSync {
	return &wire.PBSync{Docs: &wire.PBSyncDocs{Envelopes: raw}}
}

func TestGossip_ThreeNodes_LateOneSyncs(t *testing.T) {
	t.Parallel()
	a := p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(1)})
	b := p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(2), Bootstrap: a.FullAddrs()})
	sinks := []*sink{newSink(), newSink(), newSink()}
	sa, sb := New(a, nil, sinks[0]), New(b, nil, sinks[1])
	p2ptest.Serve(t, sa.Serve)
	p2ptest.Serve(t, sb.Serve)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	now := time.Now()
	o := offer(now)
	o.Reach = a.Addrs()
	raw, err := wire.SealOffer(p2ptest.Key(1), p2ptest.Network, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := sa.Publish(ctx, raw); err != nil {
		t.Fatal(err)
	}
	p2ptest.Eventually(t, "offer does not arrive", func() bool {
		return sinks[1].seq(a.ID()) == o.Seq && sinks[0].seq(a.ID()) == o.Seq
	})
	c := p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(3), Bootstrap: b.FullAddrs()})
	sc := New(c, nil, sinks[2])
	p2ptest.Serve(t, sc.Serve)
	p2ptest.Eventually(t, "late node does not sync", func() bool { return sinks[2].seq(a.ID()) == o.Seq })
	p2ptest.Eventually(t, "the reach of an offer is not used", func() bool { return c.Peers() == 2 })
	if err := sa.Publish(ctx, raw[:20]); market.CodeOf(err) != market.CodeOfferInvalid {
		t.Error(err)
	}
	p2ptest.Eventually(t, "no subscribers", func() bool { return sa.Stats().Subscribers > 0 && sc.Stats().Offers == 1 })
}

func FuzzSyncFrame(f *testing.F) {
	f.Add([]byte{0x28, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeFrame(b)
		if err == nil && m.Ids != nil {
			ids, err := unpackIDs(m.Ids.Ids)
			if err == nil && !bytes.Equal(packIDs(ids), m.Ids.Ids) {
				t.Fatal("ids changed")
			}
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	s, now := idle(b), time.Now()
	raw := sealed(b, 1, offer(now))
	for b.Loop() {
		s.set = openSet()
		if err := s.take(raw, now, nil); err != nil {
			b.Fatal(err)
		}
		s.queue.drain()
	}
}
