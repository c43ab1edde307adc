package node

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// shardNode is a node without roles' work: host, gossip and the finder that joins them with the DHT.
type shardNode struct {
	*p2p.Host
	key    ed25519.PrivateKey
	offers *offers.Service
	finder *finder

	mu  sync.Mutex
	got map[market.NodeID]uint64
}

func (n *shardNode) Offer(o market.Offer, _ []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got[o.Provider] = o.Seq
}

func (n *shardNode) has(others ...*shardNode) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range others {
		if n.got[o.ID()] > 0 {
			count++
		}
	}
	return count
}

func shardNet(t *testing.T, net *p2ptest.Net, i byte, epochs []wire.Epoch, role string, boot ...*shardNode) *shardNode {
	t.Helper()
	cfg := p2p.Config{Key: p2ptest.Key(i), Epochs: epochs, Roles: []string{role}}
	if cfg.Infra = role == ""; cfg.Infra {
		cfg.Roles = nil
	}
	for _, b := range boot {
		cfg.Bootstrap = append(cfg.Bootstrap, b.FullAddrs()...)
	}
	log := slog.New(slog.DiscardHandler)
	n := &shardNode{Host: net.Start(t, cfg), key: cfg.Key, got: map[market.NodeID]uint64{}}
	n.offers = offers.New(n.Host, log, n)
	n.finder = newFinder(n.Host, n.offers, log)
	n.offers.Attach(n.finder)
	p2ptest.Serve(t, n.offers.Serve)
	p2ptest.Serve(t, n.finder.Serve)
	return n
}

func (n *shardNode) sell(t *testing.T, class string) {
	t.Helper()
	raw, err := wire.SealOffer(n.key, p2ptest.Network, market.Offer{
		Seq: uint64(time.Now().UnixMilli()), Lifetime: time.Hour, Mints: []market.Address{{}}, Version: "test",
		Reach: n.Addrs(),
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{1}}, Free: 1, Class: class, Name: "GPU",
			Rates: []market.Rate{2_400_000}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.offers.Publish(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
}

// TestSim_Shards_CustomersFindWhatTheyLookFor: in a network of four shards with four classes a rig hears those of its
// own shard only, a customer nothing until it looks for a class, then all of that class and its later Offers by gossip;
// and a rig carries a fraction of what it does in a network of one.
func TestSim_Shards_CustomersFindWhatTheyLookFor(t *testing.T) {
	t.Parallel()
	cost := map[int]int{}
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, net *p2ptest.Net) {
				cost[shards] = sharded(t, net, []wire.Epoch{{Shards: shards, Parts: []wire.Part{
					{Class: "a100", Shards: 1}, {Class: "h100", Shards: 1}, {Class: "l40s", Shards: 1},
					{Class: "rtx-4090", Shards: 1}}}})
			})
		})
	}
	if t.Logf("bytes of a rig: %v", cost); cost[4]*2 > cost[1] {
		t.Errorf("a rig sends %d bytes for the offers of four shards, %d for those of one", cost[4], cost[1])
	}
}

func sharded(t *testing.T, net *p2ptest.Net, epochs []wire.Epoch) (sent int) {
	split := epochs[0].Shards > 1
	hub := shardNet(t, net, 1, epochs, "")
	classes := []string{"a100", "h100", "l40s", "rtx-4090"}
	rigs := map[string][]*shardNode{}
	var all []*shardNode
	for i := range byte(16) {
		c := classes[i%4]
		n := shardNet(t, net, 10+i, epochs, "provider", hub)
		rigs[c], all = append(rigs[c], n), append(all, n)
	}
	time.Sleep(20 * time.Second)
	for i, n := range all {
		n.sell(t, classes[i%4])
	}
	buyer := shardNet(t, net, 100, epochs, "customer", hub)
	time.Sleep(3 * time.Minute)
	for i, n := range all {
		own := classes[i%4]
		for _, c := range classes {
			want := 4
			if split && c != own {
				want = 0
			}
			if got := n.has(rigs[c]...); got != want {
				t.Errorf("a rig of %s has %d offers of %s, want %d", own, got, c, want)
			}
		}
	}
	if got := buyer.has(all...); split != (got == 0) {
		t.Errorf("a customer that looks for nothing has %d offers", got)
	}
	buyer.finder.Hear([]string{"h100"})
	buyer.finder.Seek([]string{"h100"})
	time.Sleep(10 * time.Second)
	if got := buyer.has(rigs["h100"]...); got != 4 {
		t.Errorf("a customer that looks for h100 has %d of 4 offers", got)
	}
	if got := buyer.has(rigs["a100"]...); split && got > 0 {
		t.Errorf("it has %d of another class", got)
	}
	rigs["h100"][3].sell(t, "h100") // a newer one comes by itself
	newest := uint64(time.Now().UnixMilli())
	time.Sleep(2 * time.Second)
	buyer.mu.Lock()
	if got := buyer.got[rigs["h100"][3].ID()]; got != newest {
		t.Errorf("it does not hear the class: offer %d, newest %d", got, newest)
	}
	buyer.mu.Unlock()
	before, _ := net.Sent(all[0].Host)
	for range 2 {
		for i, n := range all {
			n.sell(t, classes[i%4])
			time.Sleep(600 * time.Millisecond)
		}
	}
	after, _ := net.Sent(all[0].Host)
	return after - before
}
