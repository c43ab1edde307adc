package book

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestReached_RelayedRigsDoNotFitLargeFiles: a rig that is known to be reached over a relay only fits an order with
// small files, marked, and not one with large ones, where it counts once and under its own word; after ten minutes, or
// once it is reached directly, it fits again.
func TestReached_RelayedRigsDoNotFitLargeFiles(t *testing.T) {
	t.Parallel()
	b, now := New(), time.UnixMilli(1_800_000_000_000)
	for _, id := range []byte{1, 2} {
		o := market.Offer{Provider: market.NodeID{id}, Seq: uint64(now.UnixMilli()), Lifetime: time.Hour,
			Mints: []market.Address{{}},
			Groups: []market.DeviceGroup{{Class: "cpu", Devices: []market.DeviceID{{id}}, Free: 1,
				Rates: []market.Rate{market.Rate(id)}}}}
		if _, err := b.Put(o, market.DocID{id}, nil, now); err != nil {
			t.Fatal(err)
		}
	}
	b.Reached(market.NodeID{1}, true, now)
	b.Reached(market.NodeID{9}, true, now) // of whom nothing is known
	small := b.Match(Query{}, now).Candidates
	if len(small) != 2 || !small[0].Relayed || small[1].Relayed {
		t.Errorf("small files: %+v", small)
	}
	large := b.Match(Query{Direct: true, Explain: true, Limit: 5}, now)
	if len(large.Candidates) != 1 || large.Candidates[0].Provider != (market.NodeID{2}) {
		t.Errorf("large files: %+v", large.Candidates)
	}
	x := large.Explanation
	if x.Considered != 2 || x.Matched != 1 || len(x.Rejected) != 1 || x.Rejected[0].Reason != "needs-direct" ||
		x.Rejected[0].Count != 1 || !x.OnlyRelayed() {
		t.Errorf("explanation: %+v", x)
	}
	if n := len(b.Match(Query{Direct: true}, now.Add(relayedFor)).Candidates); n != 2 {
		t.Errorf("ten minutes later %d fit", n)
	}
	b.Reached(market.NodeID{1}, false, now)
	if n := len(b.Match(Query{Direct: true}, now).Candidates); n != 2 {
		t.Errorf("once it is reached directly %d fit", n)
	}
	b.Reached(market.NodeID{1}, true, now)
	b.Remove(market.NodeID{1})
	if n := len(b.Match(Query{Direct: true}, now).Candidates); n != 1 {
		t.Errorf("without it %d fit", n)
	}
}
