package offers

import (
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// book is a sink that notes what it was given.
type book struct {
	mu  sync.Mutex
	got map[market.NodeID]uint64
}

func (b *book) Offer(o market.Offer, _ []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got[o.Provider] = max(b.got[o.Provider], o.Seq)
}

func (b *book) has(id market.NodeID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[id] > 0
}

// TestStart_SinkComesLate_HasAllOffers: nodes that start beside idle rigs have their Offers within 10 s, however late
// the role that reads them is built: before anything was heard, in the middle, or after sync has ended and nobody
// publishes any more. 50 starts of 50.
func TestStart_SinkComesLate_HasAllOffers(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		rigs := []*simNode{join(t, net, 1)}
		rigs = append(rigs, join(t, net, 2, rigs[0]))
		time.Sleep(5 * time.Second)
		for _, r := range rigs {
			r.publish(t)
		}
		time.Sleep(15 * time.Minute) // the rigs are idle, gossip has forgotten their Offers
		for i := range 50 {
			t.Log("start", i)
			start := time.Now()
			h := net.Start(t, p2p.Config{Key: p2ptest.Key(byte(10 + i)), Bootstrap: rigs[0].FullAddrs()})
			s := New(h, nil)
			p2ptest.Serve(t, s.Serve)
			time.Sleep(time.Duration(i) * 150 * time.Millisecond) // the role takes that long to be built
			b := &book{got: map[market.NodeID]uint64{}}
			s.Attach(b)
			for !b.has(rigs[0].ID()) || !b.has(rigs[1].ID()) {
				if time.Since(start) > 10*time.Second {
					t.Fatalf("start %d: the offers are not here after %s", i, time.Since(start))
				}
				time.Sleep(10 * time.Millisecond)
			}
			net.Kill(h)
		}
	})
}

// TestSync_FirstPeerKnowsNothing_AskedAgain: a node whose first sync brought nothing has the Offers that its peer
// learns of soon after, also where gossip did not carry them.
func TestSync_FirstPeerKnowsNothing_AskedAgain(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		empty := join(t, net, 1)
		late := join(t, net, 2, empty)
		time.Sleep(2 * time.Second) // synced: both know nothing
		raw := sealed(t, 9, offer(time.Now()))
		if err := empty.s.take(raw, time.Now(), nil); err != nil { // as by a sync of its own: nothing is gossiped
			t.Fatal(err)
		}
		id := market.NodeID(p2ptest.Key(9)[32:])
		for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
			if _, ok := late.heard(id); ok {
				return
			}
			if time.Since(start) > 20*time.Second {
				t.Fatal("the offer did not come")
			}
		}
	})
}
