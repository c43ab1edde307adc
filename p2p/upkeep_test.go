package p2p

import (
	"crypto/ed25519"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
)

// TestUpkeep_Asleep_WakesForALease: with nobody to dial the next round is a minute away; a lease does not wait for it.
func TestUpkeep_Asleep_WakesForALease(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-w", Key: testKey(31)}, nil)
	b := start(t, Config{Network: "localnet-w", Key: testKey(32)}, nil)
	if out, next := b.keep.due(time.Now()); len(out) > 0 || !next.IsZero() {
		t.Fatalf("dials %v, then at %s", out, next)
	}
	b.KeepConnected(a.ID(), a.Addrs())
	eventually(t, "the upkeep slept on", func() bool { return a.Peers() == 1 })
}

func TestUpkeep_Due_SaysWhenTheNextBackOffEnds(t *testing.T) {
	t.Parallel()
	h := start(t, Config{Network: "localnet-w", Key: testKey(33)}, nil)
	now := time.Now()
	h.keep.mu.Lock()
	for i, in := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour} {
		id, err := PeerOf(market.NodeID(testKey(byte(40 + i)).Public().(ed25519.PublicKey)))
		if err != nil {
			t.Error(err)
			continue
		}
		e := h.keep.get(id)
		e.addrs, e.next = []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/9")}, now.Add(in)
	}
	h.keep.mu.Unlock()
	if out, next := h.keep.due(now); len(out) > 0 || !next.Equal(now.Add(time.Hour)) {
		t.Errorf("dials %v, then at %s", out, next)
	}
	if out, next := h.keep.due(now.Add(150 * time.Minute)); len(out) != 2 || !next.Equal(now.Add(3*time.Hour)) {
		t.Errorf("dials %v, then at %s", out, next)
	}
}
