package offers

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// skipShort leaves an attack out where the race detector would make minutes of it.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("an attack: run without -short")
	}
}

// long reports whether the large sizes are asked for.
func long() bool { return os.Getenv("GPUAI_LONG") == "1" }

// freshKey is one of many keys, none of p2ptest.Key's.
func freshKey(n int) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, 1)
	binary.BigEndian.PutUint64(seed[8:], uint64(n))
	return ed25519.NewKeyFromSeed(seed)
}

// latencies publishes one offer of each node and returns how long it took at each other one, and how many never came.
func latencies(t *testing.T, nodes []*simNode) (took []time.Duration, missing int) {
	t.Helper()
	for _, from := range nodes {
		began := time.Now()
		from.publish(t)
		time.Sleep(400 * time.Millisecond)
		for _, n := range nodes {
			switch at, ok := n.heard(from.ID()); {
			case n == from:
			case !ok || at.Before(began):
				missing++
			default:
				took = append(took, at.Sub(began))
			}
		}
	}
	slices.Sort(took)
	return took, missing
}

// TestGossipFlood_FifthOfAll: a fifth of the nodes each send 1,000 documents a second, validly signed by fresh keys so
// that nobody can be blamed, or forged. Honest offers arrive all the same, at most twice as late; the forgers are gone
// within a minute, and no set is larger than what the flooders' neighbours let in.
func TestGossipFlood_FifthOfAll(t *testing.T) {
	skipShort(t)
	t.Parallel()
	size, seconds := 8, 3
	if long() {
		size, seconds = 40, 20
	}
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		all := swarm(t, net, size)
		calm, missing := latencies(t, all)
		if missing > 0 {
			t.Fatalf("%d copies are missing without a flood", missing)
		}
		time.Sleep(time.Minute)
		var forgers []*p2p.Host
		var floods sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		defer floods.Wait()
		defer stop()
		for i := range size / 4 { // a fifth of all nodes then
			h, send := hostile(t, net, byte(101+i), all...)
			if i%2 == 1 {
				forgers = append(forgers, h)
			}
			floods.Go(func() { flood(ctx, t, i, seconds, send) })
		}
		time.Sleep(time.Second)
		hot, missing := latencies(t, all)
		if missing*1000 > len(hot) {
			t.Errorf("%d of %d copies are missing", missing, len(hot)+missing)
		}
		p99 := func(d []time.Duration) time.Duration { return d[len(d)*99/100] }
		t.Logf("p50 and p99: %v, %v; in the flood %v, %v", calm[len(calm)/2], p99(calm), hot[len(hot)/2], p99(hot))
		if p99(hot) > 2*p99(calm) {
			t.Errorf("p99 %v in the flood, %v without", p99(hot), p99(calm))
		}
		time.Sleep(time.Minute)
		for _, h := range forgers {
			if h.Peers() > 0 {
				t.Errorf("a minute later a forger still has %d peers", h.Peers())
			}
		}
		for _, n := range all {
			if got, most := n.s.Stats().Offers, size+(size/4)*(newcomerBurst+newcomerRate*(seconds+70)); got > most {
				t.Errorf("node %d holds %d offers, at most %d may get in", n.key, got, most)
			}
			counts := n.Counts()
			if counts[p2p.Count{Of: p2p.CountMessages, Label: "ignored"}] == 0 ||
				counts[p2p.Count{Of: p2p.CountMessages, Label: "rejected"}] == 0 ||
				counts[p2p.Count{Of: p2p.CountMessages, Label: "accepted"}] == 0 ||
				counts[p2p.Count{Of: p2p.CountDuplicates}] == 0 {
				t.Errorf("node %d counts %v", n.key, counts)
			}
		}
	})
}

// flood sends 1,000 documents a second: of fresh keys if i is even, else forged.
func flood(ctx context.Context, t *testing.T, i, seconds int, send func(raw []byte)) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := range seconds * 100 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for k := range 10 {
			key := freshKey(i<<24 + n*10 + k)
			raw, err := wire.SealOffer(key, p2ptest.Network, offer(time.Now()))
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 1 {
				raw[50] ^= 1 // inside the signature
			}
			send(raw)
		}
	}
}

// TestBlackHoles_SilenceHeals: a node whose peers all hear offers and pass none on notices the silence, says so, dials
// others of its book, and holds what it missed.
func TestBlackHoles_SilenceHeals(t *testing.T) {
	skipShort(t)
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		honest := swarm(t, net, 4)
		victim := join(t, net, 90)
		for i := range byte(12) { // as many as it wants
			hole := net.Start(t, p2p.Config{Key: p2ptest.Key(110 + i)})
			if err := victim.Connect(t.Context(), hole.ID(), hole.Addrs()); err != nil {
				t.Fatal(err)
			}
			swallow(t, hole)
		}
		for i := range 240 { // a market in which a silence of five minutes is one
			raw, err := wire.SealOffer(freshKey(i), p2ptest.Network, offer(time.Now()))
			if err != nil {
				t.Fatal(err)
			}
			if err := victim.s.take(raw, time.Now(), nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		for _, n := range honest {
			victim.Learn(n.ID(), n.Addrs())
			n.publish(t)
		}
		time.Sleep(4 * time.Minute)
		if victim.Standing().Stale || settled([]*simNode{victim}, honest) == 1 {
			t.Fatal("the holes pass offers on: this test shows nothing")
		}
		stale := false
		for range 8 {
			time.Sleep(time.Minute)
			stale = stale || victim.Standing().Stale
		}
		if !stale {
			t.Error("the node never says that it hears nothing")
		}
		if settled([]*simNode{victim}, honest) != 1 {
			t.Error("the node still hears nothing")
		}
	})
}

// swallow joins the topic, takes all and passes nothing on, and knows no sync.
func swallow(t *testing.T, h *p2p.Host) {
	t.Helper()
	ps, err := pubsub.NewGossipSub(t.Context(), h.Libp2p(), pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(), pubsub.WithMessageIdFn(messageID))
	if err != nil {
		t.Fatal(err)
	}
	name := topicName(h.Network(), wire.Whole)
	if err := ps.RegisterTopicValidator(name, func(context.Context, peer.ID, *pubsub.Message) bool {
		return false
	}); err != nil {
		t.Fatal(err)
	}
	topic, err := ps.Join(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topic.Subscribe(); err != nil {
		t.Fatal(err)
	}
}

// TestChurn_NoBootstrap: half of the nodes go each minute, as many come that know two who are there, and the first ones
// are long dead. Whoever lives holds the offers of all who live.
func TestChurn_NoBootstrap(t *testing.T) {
	skipShort(t)
	t.Parallel()
	size, minutes := 12, 3
	if long() {
		size, minutes = 40, 10
	}
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		r := rand.New(rand.NewPCG(1, 2))
		all := swarm(t, net, size)
		next := byte(size + 1)
		publish := func(n *simNode) { n.publish(t, n.Addrs()...) }
		for _, n := range all {
			publish(n)
		}
		for range minutes {
			r.Shuffle(size, func(i, j int) { all[i], all[j] = all[j], all[i] })
			for i := range size / 2 {
				net.Kill(all[i].Host)
				alive := all[size/2:]
				all[i] = join(t, net, next, alive[r.IntN(size/2)], alive[r.IntN(size/2)])
				next++
				time.Sleep(5 * time.Second) // a rig looks at its machine first; nobody would hear it yet
				publish(all[i])
				time.Sleep(time.Minute/time.Duration(size/2) - 5*time.Second)
			}
		}
		time.Sleep(30 * time.Second)
		found := 0
		for _, n := range all {
			for _, of := range all {
				if _, ok := n.heard(of.ID()); ok || n == of {
					found++
				}
			}
		}
		if found*100 < size*size*99 {
			t.Errorf("%d of %d offers of the living are found", found, size*size)
		}
		if n := peers(all); n < 2*size {
			t.Errorf("%d peers of %d nodes", n, size)
		}
	})
}

// TestReplayAfterRestart: a node that lost what it held is fed with old offers first; what is newer wins within the
// first sync, and the old ones never come back.
func TestReplayAfterRestart(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		all := swarm(t, net, 6)
		old := sealed(t, all[0].key, offer(time.Now()))
		if err := all[0].s.Publish(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // beyond what gossip remembers
		all[0].publish(t)
		newest, _ := all[0].s.set.of(all[0].ID())
		time.Sleep(time.Second)
		net.Kill(all[5].Host)
		again := join(t, net, all[5].key, all[1], all[2])
		_, replay := hostile(t, net, 101, append(all[1:5:5], again)...)
		for range 30 {
			replay(old)
			time.Sleep(time.Second)
		}
		for _, n := range append(all[:5:5], again) {
			if raw, _ := n.s.set.of(all[0].ID()); string(raw) != string(newest) {
				t.Errorf("node %d holds another offer than the newest", n.key)
			}
		}
		if err := again.s.take(old, time.Now(), nil); err == nil {
			t.Error("the old offer is taken again")
		}
	})
}

// TestTopicFlood: a peer that subscribes to thousands of topics costs no memory to speak of, and offers go on.
func TestTopicFlood(t *testing.T) {
	skipShort(t)
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		all := swarm(t, net, 4)
		h := net.Start(t, p2p.Config{Key: p2ptest.Key(101)})
		for _, n := range all {
			if err := h.Connect(t.Context(), n.ID(), n.Addrs()); err != nil {
				t.Fatal(err)
			}
		}
		ps, err := pubsub.NewGossipSub(t.Context(), h.Libp2p(), pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
			pubsub.WithNoAuthor())
		if err != nil {
			t.Fatal(err)
		}
		before := heap()
		for i := range 5000 {
			topic, err := ps.Join(fmt.Sprintf("%s/book/1/%d/%d", h.Network().Prefix(), 1+i/1000, i))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := topic.Relay(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Second)
		if more := heap() - before; more > 64<<20 {
			t.Errorf("%d MB more", more>>20)
		}
		if took, missing := latencies(t, all); missing > 0 {
			t.Errorf("%d of %d copies are missing", missing, len(took)+missing)
		}
	})
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestBookFlood: a flood of fresh keys fills the set and no more: its memory is bounded, and no rig that is known for
// long, nor this node's own offer, has made room.
func TestBookFlood(t *testing.T) {
	skipShort(t)
	s, now := openSet(), time.Now()
	keys := 150_000
	if long() {
		keys = 1_000_000
	}
	put := func(i int, at time.Time) {
		var d doc
		binary.BigEndian.PutUint64(d.id[8:], uint64(i))
		d.seq, d.expires, d.raw = 1, now.Add(time.Hour), make([]byte, 650)
		d.classes = []string{"rtx-4090"}
		s.put(numbered(i), d, at)
	}
	for i := range 1000 {
		put(i, now.Add(-youthAge-time.Hour))
	}
	before := heap()
	for i := range keys {
		put(1000+i, now)
	}
	more := heap() - before
	t.Logf("%d keys: %d MB more", keys, more>>20)
	if more > 64<<20 {
		t.Errorf("%d MB more", more>>20)
	}
	for i := range 1000 {
		if _, ok := s.of(numbered(i)); !ok {
			t.Fatal("a rig that is known for long is gone")
		}
	}
	if n := len(s.signers()); n != maxSet {
		t.Errorf("%d signers", n)
	}
	runtime.KeepAlive(s)
}
