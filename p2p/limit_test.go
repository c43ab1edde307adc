package p2p

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

func TestLimiter_RefusesOverBurst(t *testing.T) {
	t.Parallel()
	l, now := newLimiter(1, 2, 0), time.Unix(0, 0)
	id := market.NodeID{1}
	got := []bool{l.take(id, now), l.take(id, now), l.take(id, now), l.take(id, now.Add(time.Second)),
		l.take(market.NodeID{2}, now)}
	if diff := cmp.Diff([]bool{true, true, false, true, true}, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestLimiter_ManyKeysMeetTheCommonLimit(t *testing.T) {
	t.Parallel()
	l, now := newLimiter(1, 2, 100), time.Unix(0, 0)
	got := 0
	for i := range 3 * maxBuckets {
		if l.take(market.NodeID{byte(i), byte(i >> 8)}, now) {
			got++
		}
	}
	if got != 100 || len(l.peers) > maxBuckets {
		t.Fatalf("%d requests of fresh keys at once, limit 100; %d buckets", got, len(l.peers))
	}
	spammer := market.NodeID{0xff, 0xff}
	later := now.Add(time.Hour)
	for range 1000 {
		l.take(spammer, later)
	}
	if !l.take(market.NodeID{0xfe, 0xff}, later) {
		t.Fatal("one peer over its own rate used up the common limit")
	}
}
