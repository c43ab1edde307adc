package offers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// latency is the one-way latency of these networks.
const latency = 50 * time.Millisecond

// simNode is a node with gossip; it notes when each provider's newest offer came.
type simNode struct {
	*p2p.Host
	key byte
	s   *Service

	mu    sync.Mutex
	at    map[market.NodeID]time.Time
	calls int
}

func (n *simNode) Offer(o market.Offer, _ []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[o.Provider] = time.Now()
	n.calls++
}

func (n *simNode) heard(id market.NodeID) (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.at[id]
	return at, ok
}

// join starts a node that knows some others.
func join(t *testing.T, net *p2ptest.Net, key byte, know ...*simNode) *simNode {
	t.Helper()
	var boot []string
	for _, k := range know {
		boot = append(boot, k.FullAddrs()...)
	}
	n := &simNode{Host: net.Start(t, p2p.Config{Key: p2ptest.Key(key), Bootstrap: boot}), key: key,
		at: map[market.NodeID]time.Time{}}
	n.s = New(n.Host, nil, n)
	p2ptest.Serve(t, n.s.Serve)
	return n
}

// swarm starts nodes that know six earlier ones each, and lets their gossip mesh settle.
func swarm(t *testing.T, net *p2ptest.Net, size int) []*simNode {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(size), 1))
	var all []*simNode
	for i := range size {
		var know []*simNode
		for _, j := range r.Perm(i)[:min(i, 6)] {
			know = append(know, all[j])
		}
		all = append(all, join(t, net, byte(i+1), know...))
	}
	time.Sleep(10 * time.Second) // heartbeats are 1 s apart
	return all
}

// publish spreads a new offer of a node. Its reach makes others connect to it.
func (n *simNode) publish(t *testing.T, reach ...string) {
	t.Helper()
	o := offer(time.Now())
	o.Reach = reach
	raw, err := wire.SealOffer(p2ptest.Key(n.key), p2ptest.Network, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.s.Publish(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
}

// TestGossip_FiftyNodes_HearWithinSixLatencies: an offer is everywhere at the speed of the network. A node that every
// neighbour's full mesh has left out waits for a heartbeat and asks; that may befall one in fifty.
func TestGossip_FiftyNodes_HearWithinSixLatencies(t *testing.T) {
	t.Parallel()
	size := 50
	if testing.Short() {
		size = 16
	}
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		all := swarm(t, net, size)
		from := all[size-1]
		start := time.Now()
		from.publish(t)
		time.Sleep(2500 * time.Millisecond) // two heartbeats and what follows from them
		var took []time.Duration
		for _, n := range all {
			if at, ok := n.heard(from.ID()); ok {
				took = append(took, at.Sub(start))
			}
		}
		slices.Sort(took)
		if len(took) != size || took[size-2] > 6*latency {
			t.Errorf("%d of %d nodes heard, after %v", len(took), size, took)
		}
	})
}

// settled reports how many nodes hold an offer of each of these providers.
func settled(nodes, providers []*simNode) (n int) {
	for _, a := range nodes {
		all := true
		for _, p := range providers {
			_, ok := a.heard(p.ID())
			all = all && ok
		}
		if all {
			n++
		}
	}
	return n
}

func hosts(nodes []*simNode) (out []*p2p.Host) {
	for _, n := range nodes {
		out = append(out, n.Host)
	}
	return out
}

func peers(nodes []*simNode) (n int) {
	for _, a := range nodes {
		n += a.Peers()
	}
	return n
}

// TestSync_LateNode_GetsAll: what gossip has long forgotten reaches a new node with its first peer.
func TestSync_LateNode_GetsAll(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		all := swarm(t, net, 12)
		for _, n := range all {
			n.publish(t)
		}
		time.Sleep(time.Minute) // gossip repeats what is a few heartbeats old
		late := join(t, net, 100, all[4])
		start := time.Now()
		p2ptest.Eventually(t, "the late node does not get all",
			func() bool { return settled([]*simNode{late}, all) == 1 })
		if took := time.Since(start); took > 60*latency || late.Peers() != 1 {
			t.Errorf("it took %s, with %d peers", took, late.Peers())
		}
	})
}

// TestGossip_LossDelivers: every book is full although packets vanish.
func TestGossip_LossDelivers(t *testing.T) {
	t.Parallel()
	for _, loss := range []float64{0.05, 0.2} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			t.Parallel()
			p2ptest.Run(t, p2ptest.Options{Latency: latency, Loss: loss}, func(t *testing.T, net *p2ptest.Net) {
				all := swarm(t, net, 12)
				for _, n := range all {
					n.publish(t)
				}
				start := time.Now()
				p2ptest.Eventually(t, "not everybody has heard of all",
					func() bool { return settled(all, all) == len(all) })
				t.Logf("all have all after %s", time.Since(start))
			})
		})
	}
}

// TestGossipFlood: a node that forges offers of others is not listened to any more, one that floods with its own is cut
// to its rate, and meanwhile an honest offer is as fast as ever.
func TestGossipFlood(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		all := swarm(t, net, 12)
		victim := all[0]
		forger, forge := hostile(t, net, 101, all...)
		_, flood := hostile(t, net, 102, all...)
		time.Sleep(5 * time.Second)
		for i := range 20 {
			o := offer(time.Now().Add(time.Second))
			o.Version = fmt.Sprint("forged ", i)
			raw := sealed(t, victim.key, o)
			raw[50] ^= 1 // inside the signature
			forge(raw)
		}
		for i := range 300 {
			o := offer(time.Now().Add(time.Duration(i) * time.Millisecond))
			flood(sealed(t, 102, o))
		}
		start := time.Now()
		victim.publish(t)
		time.Sleep(6 * latency)
		for _, n := range all {
			if at, ok := n.heard(victim.ID()); !ok || at.Before(start) {
				t.Errorf("node %d has not heard of the honest offer", n.key)
			}
			if got := n.s.Stats(); got.Offers != 2 {
				t.Errorf("node %d: %+v, want two offers", n.key, got)
			}
			n.mu.Lock()
			if got := n.calls; got > 1+signerBurst {
				t.Errorf("the book of node %d was told of %d offers", n.key, got)
			}
			n.mu.Unlock()
		}
		forge(sealed(t, 101, offer(time.Now()))) // a good one at last
		time.Sleep(5 * time.Second)
		for _, n := range all {
			if _, ok := n.heard(forger.ID()); ok {
				t.Errorf("node %d still listens to the forger", n.key)
			}
		}
	})
}

// hostile is a node that gossips whatever it likes.
func hostile(t *testing.T, net *p2ptest.Net, key byte, know ...*simNode) (h *p2p.Host, send func(raw []byte)) {
	t.Helper()
	h = net.Start(t, p2p.Config{Key: p2ptest.Key(key)})
	for _, n := range know {
		if err := h.Connect(t.Context(), n.ID(), n.Addrs()); err != nil {
			t.Fatal(err)
		}
	}
	ps, err := pubsub.NewGossipSub(t.Context(), h.Libp2p(), pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID), pubsub.WithFloodPublish(true))
	if err != nil {
		t.Fatal(err)
	}
	topic, err := ps.Join(topicName(h.Network(), wire.Whole))
	if err != nil {
		t.Fatal(err)
	}
	return h, func(raw []byte) {
		if err := topic.Publish(t.Context(), raw); err != nil {
			t.Error(err)
		}
	}
}

// TestPartition_Heals_BooksBecomeEqual: halves that were apart for 90 s are one network again within a minute, and what
// was published meanwhile is in every book.
func TestPartition_Heals_BooksBecomeEqual(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		all := swarm(t, net, 12)
		a, b, apart := all[:6], all[6:], []*simNode{all[5], all[11]}
		for _, n := range slices.Concat(a[:5], b[:5]) {
			n.publish(t, n.Addrs()...)
		}
		time.Sleep(30 * time.Second) // upkeep dials whom the offers name
		before := peers(all)
		net.Partition(hosts(a), hosts(b))
		time.Sleep(60 * time.Second)
		for _, n := range apart {
			n.publish(t, n.Addrs()...)
		}
		time.Sleep(30 * time.Second)
		if got := settled(all, apart); got != 0 || peers(all) >= before {
			t.Fatalf("it was no partition: %d nodes heard of both, %d peers of %d", got, peers(all), before)
		}
		net.Heal()
		time.Sleep(time.Minute)
		if got := peers(all); got < before*9/10 {
			t.Errorf("a minute after the split %d peers of %d", got, before)
		}
		if got := settled(all, apart); got != len(all) {
			t.Errorf("a minute after the split %d of %d nodes hold what was published in both halves", got, len(all))
		}
		all[3].publish(t)
		fresh := time.Now()
		time.Sleep(6 * latency)
		for _, n := range all {
			if at, _ := n.heard(all[3].ID()); at.Before(fresh) {
				t.Errorf("node %d does not hear what is published after the split", n.key)
			}
		}
	})
}
