package dht

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// TestSim_Figures: how long an announcement and a look-up take, in round trips, which is what cmd/bench reads: 30 rigs
// and three meeting points, 50 ms one way, nobody gossips; at last 200 records of nobody are on the key.
func TestSim_Figures(t *testing.T) {
	t.Parallel()
	const trip = 100 * time.Millisecond
	p2ptest.Run(t, p2ptest.Options{Latency: trip / 2}, func(t *testing.T, n *p2ptest.Net) {
		infra, rigs, buyer := grow(t, n, 30)
		var provided []time.Duration
		for _, r := range rigs[20:] {
			start := time.Now()
			if err := r.dht.provide(t.Context(), []Key{Class("h100")}); err != nil {
				t.Fatal(err)
			}
			provided = append(provided, time.Since(start))
		}
		slices.Sort(provided)
		first, three := lookUp(t, buyer, 3, rigs[20:])
		var fakes []peer.AddrInfo
		for i := range 200 {
			key := ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i)))
			id, err := p2p.PeerOf(p2ptest.NodeID(key))
			if err != nil {
				t.Fatal(err)
			}
			fakes = append(fakes, peer.AddrInfo{ID: id,
				Addrs: []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/%d.0.0.1/udp/4801/quic-v1", 20+i%80))}})
		}
		c, err := Class("h100").cid(p2ptest.Network)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range slices.Concat(infra, rigs) {
			for _, f := range fakes {
				if err := m.dht.table.ProviderStore().AddProvider(t.Context(), c.Hash(), f); err != nil {
					t.Fatal(err)
				}
			}
		}
		late := join(t, n, 201, false, "customer", infra...)
		time.Sleep(10 * time.Second)
		among, _ := lookUp(t, late, 1, rigs[20:])
		for _, f := range []struct {
			name string
			took time.Duration
			most time.Duration
		}{
			{"provide_p50", provided[len(provided)/2], 30 * trip},
			{"provide_max", provided[len(provided)-1], 60 * trip},
			{"first", first, 10 * trip}, {"three", three, 30 * trip},
			{"first_among_200_fakes", among, 300 * trip},
		} {
			t.Logf("figure %s %d ms", f.name, f.took.Milliseconds())
			if f.took > f.most {
				t.Errorf("%s: %s", f.name, f.took)
			}
		}
	})
}

// lookUp is how long the first true rig took, and all that were wanted.
func lookUp(t *testing.T, buyer *member, want int, rigs []*member) (first, all time.Duration) {
	t.Helper()
	start := time.Now()
	var mu sync.Mutex
	check := sells(buyer.Host, rigs...)
	found, err := buyer.dht.Find(t.Context(), Class("h100"), want,
		func(ctx context.Context, id market.NodeID, addrs []string) error {
			err := check(ctx, id, addrs)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && first == 0 {
				first = time.Since(start)
			}
			return err
		})
	if err != nil || len(found.Good) < want {
		t.Fatalf("found %+v, %v", found, err)
	}
	return first, time.Since(start)
}
