package wire

import (
	"slices"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestEpoch_Golden: the rule is the network's; a node that counted otherwise would be in the wrong topics.
func TestEpoch_Golden(t *testing.T) {
	t.Parallel()
	low, high := market.NodeID{0x00, 0x05}, market.NodeID{0xff, 0xfe}
	split := Epoch{Shards: 256, Parts: []Part{{"a100", 3}, {"rtx-4090", 16}}}
	for i, c := range []struct {
		e       Epoch
		signer  market.NodeID
		classes []string
		want    string
	}{
		{Epoch{}, low, nil, "1/0"},
		{Epoch{Shards: 1}, high, []string{"rtx-4090", "h100"}, "1/0"},
		{Epoch{Shards: 4}, low, []string{"rtx-4090"}, "4/1"},
		{Epoch{Shards: 4}, low, []string{"h100"}, "4/2"},
		{Epoch{Shards: 4}, low, []string{"cpu"}, "4/1"},
		{Epoch{Shards: 16}, low, []string{"rtx-4090", "cpu", "h100"}, "16/1 16/5 16/14"},
		{Epoch{Shards: 256}, low, []string{"rtx-4090", "h100", "a100"}, "256/105 256/110 256/181"},
		{split, low, []string{"rtx-4090"}, "256/8"},
		{split, high, []string{"rtx-4090"}, "256/17"},
		{split, high, []string{"rtx-4090", "h100", "a100"}, "256/2 256/17 256/110"},
		{split, low, nil, ""},
	} {
		got := ""
		for _, s := range c.e.Of(c.signer, c.classes...) {
			got += " " + s.String()
		}
		if got = got[min(len(got), 1):]; got != c.want {
			t.Errorf("%d: shards of %v: %q, want %q", i, c.classes, got, c.want)
		}
	}
}

// TestEpoch_Seen_HasWhatIsThere: a reader of all parts meets every rig; one that reads two meets those of two.
func TestEpoch_Seen_HasWhatIsThere(t *testing.T) {
	t.Parallel()
	e := Epoch{Shards: 256, Parts: []Part{{"a100", 3}, {"rtx-4090", 16}}}
	met := map[int]int{}
	for _, most := range []int{1, 2, 16} {
		seen := e.Seen(market.NodeID{9, 9}, "rtx-4090", most)
		for i := range 1600 {
			if at := e.Of(market.NodeID{byte(i >> 8), byte(i)}, "rtx-4090"); slices.Contains(seen, at[0]) {
				met[most]++
			}
		}
	}
	if met[1] != 100 || met[2] != 200 || met[16] != 1600 {
		t.Errorf("met %v of 1600", met)
	}
	for _, c := range []string{"h100", "cpu"} {
		if got := e.Seen(market.NodeID{9, 9}, c, 2); !slices.Equal(got, e.Of(market.NodeID{1}, c)) {
			t.Errorf("%s is seen in %v", c, got)
		}
	}
}

// TestEpoch_Doubled_ClassesStayTogether: the shards of twice as many are halves of the old ones.
func TestEpoch_Doubled_ClassesStayTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []string{"h100", "cpu", "a100", "rtx-4090", "mi300x"} {
		for n := 2; n < MaxShards; n *= 2 {
			half, whole := Epoch{Shards: 2 * n}.Of(market.NodeID{}, c)[0], Epoch{Shards: n}.Of(market.NodeID{}, c)[0]
			if int(half.At)%n != int(whole.At) {
				t.Errorf("%s is in %s and in %s", c, whole, half)
			}
		}
	}
}

// TestInForce_EpochsOverlapForAWeek.
func TestInForce_EpochsOverlapForAWeek(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	table := []Epoch{{Shards: 1}, {From: at, Shards: 4}, {From: at.AddDate(1, 0, 0), Shards: 16}}
	for _, c := range []struct {
		now  time.Time
		want []int
	}{
		{at.Add(-time.Second), []int{1}},
		{at, []int{1, 4}},
		{at.Add(EpochOverlap - time.Second), []int{1, 4}},
		{at.Add(EpochOverlap), []int{4}},
		{at.AddDate(1, 0, 1), []int{4, 16}},
		{at.AddDate(2, 0, 0), []int{16}},
	} {
		var got []int
		for _, e := range InForce(table, c.now) {
			got = append(got, e.Shards)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("at %s: %v, want %v", c.now, got, c.want)
		}
	}
	if got := InForce(nil, at); len(got) != 1 || got[0].Shards != 1 {
		t.Errorf("no table: %v", got)
	}
}

func TestParseShard_OnlyWhatStringWrites(t *testing.T) {
	t.Parallel()
	for _, s := range (Epoch{Shards: 16}).All() {
		if got, ok := ParseShard(s.String()); !ok || got != s {
			t.Errorf("%s reads as %v, %v", s, got, ok)
		}
	}
	for _, bad := range []string{"", "1", "1/", "/0", "1/1", "4/4", "04/1", "4/01", "4/-1", "65536/0", "4/1/0", "a/b"} {
		if got, ok := ParseShard(bad); ok {
			t.Errorf("%q is a shard: %v", bad, got)
		}
	}
}
