package offers

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// In a network of four shards these classes are in two; cpu shares that of rtx-4090.
var (
	four   = []wire.Epoch{{Shards: 4}}
	of4090 = wire.Shard{Of: 4, At: 1}
	ofH100 = wire.Shard{Of: 4, At: 2}
)

func split(t testing.TB, seed byte, epochs []wire.Epoch) *Service {
	t.Helper()
	h, err := p2p.New(p2p.Config{Network: p2ptest.Network, Key: p2ptest.Key(seed), Epochs: epochs}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(h, nil, newSink())
}

// offerOf is an Offer with a group of each class.
func offerOf(at time.Time, classes ...string) market.Offer {
	o := offer(at)
	group := o.Groups[0]
	o.Groups = nil
	for i, c := range classes {
		group.Class, group.Devices = c, []market.DeviceID{{byte(i + 1)}}
		o.Groups = append(o.Groups, group)
	}
	return o
}

func onTopic(s *Service, at wire.Shard, raw []byte) *pubsub.Message {
	m, name := message(raw), topicName(s.host.Network(), at)
	m.Topic = &name
	return m
}

func TestValidator_Shards(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one, both := sealed(t, 1, offerOf(now, "rtx-4090")), sealed(t, 2, offerOf(now, "rtx-4090", "h100", "cpu"))
	forged := slices.Clone(both)
	forged[50] ^= 1 // inside the signature
	s := split(t, 200, four)
	for i, c := range []struct {
		at   wire.Shard
		raw  []byte
		want pubsub.ValidationResult
	}{
		{ofH100, one, pubsub.ValidationReject},
		{of4090, one, pubsub.ValidationAccept},
		{of4090, one, pubsub.ValidationIgnore},
		{ofH100, one, pubsub.ValidationReject},
		{of4090, both, pubsub.ValidationAccept},
		{ofH100, forged, pubsub.ValidationIgnore}, // not newer: it is not looked at any further
		{ofH100, both, pubsub.ValidationAccept},   // it goes on in its other shard, too
		{ofH100, both, pubsub.ValidationIgnore},
		{wire.Shard{Of: 4}, both, pubsub.ValidationReject},
		{ofH100, sealed(t, 2, offerOf(now.Add(time.Second))), pubsub.ValidationAccept}, // withdrawn
	} {
		if got := s.gossip(t.Context(), "peer", onTopic(s, c.at, c.raw)); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
	if at := s.set.list(now, of4090); len(at) != 2 || len(s.set.list(now, ofH100)) != 1 {
		t.Errorf("the withdrawal is not where the offer was: %v", at)
	}
	if n := len(s.queue.drain()); n != 2 {
		t.Errorf("the sink is told of %d signers", n)
	}
}

// TestSync_ByShard: a session brings the documents of its shard only, and a node keeps none of a shard that it does not
// hold.
func TestSync_ByShard(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, b := split(t, 200, four), split(t, 201, four)
	for _, s := range []*Service{a, b} {
		s.Hold(now.Add(time.Hour), "rtx-4090")
	}
	give := func(s *Service, docs ...[]byte) {
		for _, raw := range docs {
			if err := s.take(raw, now, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	give(a, sealed(t, 1, offerOf(now, "rtx-4090")), sealed(t, 2, offerOf(now, "h100")))
	give(b, sealed(t, 3, offerOf(now, "cpu")), sealed(t, 4, offerOf(now, "h100", "cpu")))
	held := func(s *Service) [2]int { return [2]int{len(s.set.list(now, of4090)), len(s.set.list(now, ofH100))} }
	sync := func(in wire.Shard) {
		x, y := net.Pipe()
		var g errgroup.Group
		g.Go(func() error { return b.server(newFramer(y)) })
		if err := errors.Join(a.client(newFramer(x), in, func() {}), g.Wait()); err != nil {
			t.Fatal(err)
		}
	}
	sync(ofH100)
	if a, b := held(a), held(b); a != [2]int{1, 1} || b != [2]int{2, 1} {
		t.Errorf("a shard that nobody holds: %v, %v", a, b)
	}
	sync(of4090)
	if a, b := held(a), held(b); a != [2]int{3, 2} || b != [2]int{3, 1} {
		t.Errorf("after a session of rtx-4090: %v, %v", a, b)
	}
}

// TestSync_OtherShardsDocument_IsBlamed.
func TestSync_OtherShardsDocument_IsBlamed(t *testing.T) {
	t.Parallel()
	s := split(t, 200, four)
	s.Hold(time.Now().Add(time.Hour), "rtx-4090")
	a, b := net.Pipe()
	defer a.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer b.Close()
		f := newFramer(b)
		_, _ = f.read()
		_ = f.write(&wire.PBSync{Open: &wire.PBSyncOpen{Of: 4, Shard: 1, Hash: []byte{1}}})
		_ = f.write(doneFrame())
		_, _ = f.read()
		_ = f.write(docsFrame(sealed(t, 1, offerOf(time.Now(), "h100"))))
	})
	if err := s.client(newFramer(a), of4090, func() {}); !errors.Is(err, errBad) {
		t.Error(err)
	}
	wg.Wait()
}

// TestHold_TheNewestEight: who asks for more than a node should carry gives up what would end first; own shards stay,
// and what nobody asks for any more goes.
func TestHold_TheNewestEight(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := split(t, 200, []wire.Epoch{{Shards: 256}})
	own, err := s.settle(sealed(t, 200, offerOf(now, "own-class")))
	if err != nil || len(own) != 1 {
		t.Fatal(own, err)
	}
	classes := []string{"a100", "h100", "h200", "l40s", "mi300x", "rtx-3090", "rtx-4090", "rtx-5090", "t4", "v100"}
	for i, c := range classes {
		s.Hold(now.Add(time.Duration(i+1)*time.Minute), c)
	}
	at := func(class string) wire.Shard { return s.epochs[0].Of(market.NodeID{}, class)[0] }
	got := s.wanted(now)
	if len(got) != 1+maxHeld || !got[own[0]] || got[at(classes[0])] || !got[at(classes[2])] {
		t.Errorf("%d shards are held: %v", len(got), got)
	}
	if got = s.wanted(now.Add(10 * time.Minute)); len(got) != 1 || !got[own[0]] {
		t.Errorf("later %v are held", got)
	}
	if got = s.wanted(now.Add(2 * time.Hour)); len(got) != 0 {
		t.Errorf("at last %v are held", got)
	}
}

// TestEpoch_Change_BothForAWeek: a rig is in the shards of both epochs while they overlap, and a meeting point in all.
func TestEpoch_Change_BothForAWeek(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := split(t, 200, []wire.Epoch{{Shards: 1}, {From: now.Add(time.Hour), Shards: 4}})
	count := func(at time.Time) int {
		s.now = func() time.Time { return at }
		if _, err := s.settle(sealed(t, 200, offerOf(at, "rtx-4090"))); err != nil {
			t.Fatal(err)
		}
		return len(s.wanted(at))
	}
	if a, b, c := count(now), count(now.Add(time.Hour)), count(now.Add(8*24*time.Hour)); a != 1 || b != 2 || c != 1 {
		t.Errorf("before, in and after the overlap %d, %d and %d shards", a, b, c)
	}
}

// TestEpoch_LaterOne_IsBelievedOfTwo: one peer that speaks of more shards may lie.
func TestEpoch_LaterOne_IsBelievedOfTwo(t *testing.T) {
	t.Parallel()
	s := split(t, 200, four)
	for i, c := range []struct {
		of   uint16
		want int
	}{{4, 0}, {1, 0}, {16, 0}, {9999, 0}, {64, 64}} {
		s.noteEpoch(peer.ID(fmt.Sprint(i)), c.of)
		if got := s.Stats().Newer; got != c.want {
			t.Errorf("after %d shards: %d, want %d", c.of, got, c.want)
		}
	}
}
