package p2p

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"

	"github.com/gpuai/gpuai/market"
)

// TestTally_DialsBytesPunches: dials, bytes and punches are counted by what libp2p tells.
func TestTally_DialsBytesPunches(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-t", Key: testKey(71)}, nil)
	b := start(t, Config{Network: "localnet-t", Key: testKey(72)}, nil)
	if err := b.Connect(t.Context(), a.ID(), a.Addrs()); err != nil {
		t.Fatal(err)
	}
	if err := b.Connect(t.Context(), market.NodeID(testKey(73)[32:]), a.Addrs()); err == nil {
		t.Fatal("connected to nobody")
	}
	punches{b}.Trace(&holepunch.Event{Remote: peer.ID("x"), Evt: &holepunch.EndHolePunchEvt{Success: true}})
	punches{b}.Trace(&holepunch.Event{Remote: peer.ID("x"), Evt: &holepunch.EndHolePunchEvt{}})
	punches{b}.Trace(&holepunch.Event{Remote: peer.ID("x"), Evt: &holepunch.StartHolePunchEvt{}})
	eventually(t, "identify moves no bytes, or the dial never ends", func() bool {
		n := b.Counts()
		return n[Count{CountDials, "failed"}] > 0 && n[Count{CountBytes, "in"}] > 0 && n[Count{CountBytes, "out"}] > 0
	})
	n := b.Counts()
	for c, want := range map[Count]uint64{
		{CountDials, "ok"}: 1, {CountDials, "failed"}: 1, {CountPunches, "ok"}: 1, {CountPunches, "failed"}: 1,
	} {
		if n[c] != want {
			t.Errorf("%+v: %d, want %d", c, n[c], want)
		}
	}
}
