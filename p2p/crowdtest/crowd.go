// Package crowdtest builds networks of many real nodes in virtual time, each with gossip, sync and the DHT, and
// measures what they send and when they hear.
//
// Invariants: rigs and customers know the meeting points only, as in a real network. Concurrency: from the test's
// goroutine. Persistence: none. Next: Grow.
package crowdtest

import (
	"crypto/ed25519"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/dht"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Options of a crowd.
type Options struct {
	Nodes  int // meeting points included
	Infra  int
	Every  time.Duration // between two that join
	Epochs []wire.Epoch
	// Class is what a rig sells, by its number.
	Class func(i int) string
}

// Node is one of them; it notes when each provider's newest Offer came.
type Node struct {
	*p2p.Host
	Offers *offers.Service
	DHT    *dht.Service
	class  string
	key    ed25519.PrivateKey

	mu sync.Mutex
	at map[market.NodeID]time.Time
}

// Crowd is a network of them.
type Crowd struct {
	Net  *p2ptest.Net
	All  []*Node // meeting points first
	Rigs []*Node
	opts Options
}

// Key is the key of node i.
func Key(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i+1)))
}

// Grow starts the nodes one after the other.
func Grow(t testing.TB, n *p2ptest.Net, o Options) *Crowd {
	t.Helper()
	c := &Crowd{Net: n, opts: o}
	for i := range o.Nodes {
		node := c.Join(t, i)
		if c.All = append(c.All, node); i >= o.Infra {
			c.Rigs = append(c.Rigs, node)
		}
		time.Sleep(o.Every)
	}
	return c
}

// Join starts node i, a meeting point if it is one of the first.
func (c *Crowd) Join(t testing.TB, i int) *Node {
	t.Helper()
	cfg := p2p.Config{Key: Key(i), Infra: i < c.opts.Infra, Roles: []string{"provider"}, Epochs: c.opts.Epochs}
	for _, m := range c.All[:min(len(c.All), c.opts.Infra)] {
		cfg.Bootstrap = append(cfg.Bootstrap, m.FullAddrs()...)
	}
	if cfg.Infra {
		cfg.Roles = nil
	}
	n := &Node{Host: c.Net.Start(t, cfg), class: "rtx-4090", key: cfg.Key, at: map[market.NodeID]time.Time{}}
	if c.opts.Class != nil {
		n.class = c.opts.Class(i)
	}
	n.Offers = offers.New(n.Host, nil, n)
	p2ptest.Serve(t, n.Offers.Serve)
	n.DHT = dht.New(n.Host, nil)
	p2ptest.Serve(t, n.DHT.Serve)
	if !cfg.Infra {
		n.DHT.Announce(n.DHT.ClassKeys(n.class, 0)...)
	} else {
		n.DHT.Announce(dht.Infra)
	}
	return n
}

// Offer implements offers.Sink.
func (n *Node) Offer(o market.Offer, _ []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[o.Provider] = time.Now()
}

// Heard is when the newest Offer of a provider came; zero: none has.
func (n *Node) Heard(id market.NodeID) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.at[id]
}

// Held is how many providers' Offers a node has.
func (n *Node) Held() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.at)
}

// Publish spreads a new Offer of a rig, of about 390 bytes with 38 fields, as a rig with one GPU has.
func (n *Node) Publish(t testing.TB) (size int) {
	t.Helper()
	fields := market.Fields{}
	for id := market.FieldID(1); id <= 17; id++ {
		fields[id] = uint64(id) * 1000
	}
	rig := market.Fields{}
	for id := market.FieldID(40); id <= 53; id++ {
		rig[id] = uint64(id) * 1000
	}
	raw, err := wire.SealOffer(n.key, p2ptest.Network, market.Offer{
		Seq: uint64(time.Now().UnixMilli()), Lifetime: time.Hour, Mints: []market.Address{{}}, Version: "test",
		Reach: n.Addrs(), Payout: market.Address{1, 2, 3}, Fields: rig,
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{1}}, Free: 1, Class: n.class, Name: "RTX 4090",
			Fields: fields, Rates: []market.Rate{2_400_000}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Offers.Publish(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	return len(raw)
}

// Spread is a sorted sample.
type Spread []float64

// Of reads a figure of each node.
func Of(nodes []*Node, f func(*Node) float64) (out Spread) {
	for _, n := range nodes {
		out = append(out, f(n))
	}
	slices.Sort(out)
	return out
}

// At is the smallest value that is not below the share q of all; 0 of none.
func (s Spread) At(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// Mean is the mean; 0 of none.
func (s Spread) Mean() (m float64) {
	for _, v := range s {
		m += v / float64(len(s))
	}
	return m
}
