package p2ptest_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// TestSim_RTT_ToldOfEachConnection: who asks is told the round trip of peers that were there before and of those that
// come later, by whomever the connection was made.
func TestSim_RTT_ToldOfEachConnection(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: 40 * time.Millisecond}, func(t *testing.T, n *p2ptest.Net) {
		a := n.Start(t, p2p.Config{Key: p2ptest.Key(1)})
		b := n.Start(t, p2p.Config{Key: p2ptest.Key(2), Bootstrap: a.FullAddrs()})
		p2ptest.Eventually(t, "hosts do not connect", func() bool { return a.Peers() == 1 && b.Peers() == 1 })
		var mu sync.Mutex
		heard := map[market.NodeID]time.Duration{}
		a.OnRTT(func(id market.NodeID, rtt time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			heard[id] = rtt
		})
		knows := func(id market.NodeID) bool {
			mu.Lock()
			defer mu.Unlock()
			return heard[id] >= 80*time.Millisecond && heard[id] < 100*time.Millisecond
		}
		p2ptest.Eventually(t, "a peer of before is not measured", func() bool { return knows(b.ID()) })
		c := n.Start(t, p2p.Config{Key: p2ptest.Key(3), Bootstrap: a.FullAddrs()})
		p2ptest.Eventually(t, "a new peer is not measured", func() bool { return knows(c.ID()) })
	})
}
