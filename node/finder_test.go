package node

import (
	"slices"
	"testing"

	"github.com/gpuai/gpuai/p2p/dht"
)

// TestMeetingKeys_ByRole: infra nodes and indexers are found as what they are, all others as no meeting point.
func TestMeetingKeys_ByRole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		infra, indexes bool
		want           []dht.Key
	}{
		{false, false, nil}, {true, false, []dht.Key{dht.Infra}}, {false, true, []dht.Key{dht.Indexer}},
		{true, true, []dht.Key{dht.Infra, dht.Indexer}},
	} {
		if got := meetingKeys(c.infra, c.indexes); !slices.Equal(got, c.want) {
			t.Errorf("infra %t, indexer %t: %v, want %v", c.infra, c.indexes, got, c.want)
		}
	}
}
