package customer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/joblog"
)

// TestOrderRow_KeysOnDisk_StayTheSame: how the row is grouped in memory is not how it is stored.
func TestOrderRow_KeysOnDisk_StayTheSame(t *testing.T) {
	t.Parallel()
	full := orderRow{Costs: []cost{{}}, Log: &joblog.State{}, LogFrom: 1, LeaseID: market.LeaseID{1}}
	full.Raw, full.Receipt = []byte{1}, []byte{2}
	b, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &keys); err != nil {
		t.Fatal(err)
	}
	const want = "BootID Costs Created Decision Files ID InputsSent LeaseID Log LogFrom Outcome OwnOutcome " +
		"Purchase Raw " +
		"Reach ReadyAt Request Steps"
	if got := strings.Join(slices.Sorted(maps.Keys(keys)), " "); got != want {
		t.Errorf("keys are\n%s, want\n%s", got, want)
	}
	var back orderRow
	if err := json.Unmarshal(b, &back); err != nil || string(back.Raw) != string(full.Raw) || back.Receipt != nil {
		t.Errorf("read as %+v: %v", back.papers, err)
	}
}
