package offers

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// TestSync_NodeThatCameAndWent_HearsOffers: go-libp2p-pubsub opens no stream any more to a peer that was gone a few
// times within minutes; a node that is killed and started again still learns what its neighbour sells.
func TestSync_NodeThatCameAndWent_HearsOffers(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		rig := join(t, net, 1)
		rig.publish(t)
		for i := range 10 {
			n := join(t, net, 2, rig)
			start := time.Now()
			for {
				if _, ok := n.heard(rig.ID()); ok {
					break
				}
				if time.Since(start) > time.Minute {
					t.Fatalf("start %d: no offer within a minute, %d peers", i, n.Peers())
				}
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(40 * time.Second) // the connection of its last life is given up while this one's lives
			net.Kill(n.Host)
		}
	})
}
