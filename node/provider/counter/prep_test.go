package counter

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

func TestPrepMax_ClaimsOfACustomer_HaveAnEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		image, inputs uint64
		known         bool
		want          time.Duration
	}{
		{0, 0, false, prepFloor}, {8 << 30, 0, false, 2*time.Minute + 2048*time.Second}, {1 << 40, 0, false, prepMost},
		{0, 1 << 63, false, prepMost},
		{1 << 63, 1 << 63, true, prepMostKnown}, {50 << 30, 50 << 30, true, prepMostKnown},
	} {
		if got := prepMax(c.image, c.inputs, c.known); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestFreePreparation_CountsWhatLedToNoJob within an hour, and not by the rig's fault.
func TestFreePreparation_CountsWhatLedToNoJob(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		m    market.Lease
		want time.Duration
	}{
		"under way": {market.Lease{Common: market.Common{Accepted: ago(5 * time.Minute)}}, 5 * time.Minute},
		"failed": {market.Lease{Common: market.Common{Accepted: ago(20 * time.Minute), Ended: ago(17 * time.Minute),
			Fault: market.FaultCustomer}}, 3 * time.Minute},
		"stalled": {market.Lease{Common: market.Common{Accepted: ago(70 * time.Minute), Ended: ago(50 * time.Minute),
			Fault: market.FaultNone}}, 20 * time.Minute},
		"by the rig": {market.Lease{Common: market.Common{Accepted: ago(20 * time.Minute), Ended: ago(17 * time.Minute),
			Fault: market.FaultProvider}}, 0},
		"it ran": {market.Lease{Common: market.Common{Accepted: ago(20 * time.Minute), Ready: ago(19 * time.Minute),
			Ended: ago(17 * time.Minute)}}, 0},
		"long ago": {market.Lease{Common: market.Common{Accepted: ago(3 * time.Hour), Ended: ago(2 * time.Hour)}}, 0},
	} {
		if got, _ := freePreparation(c.m, now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
