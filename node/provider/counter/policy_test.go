package counter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/meter"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestWasPaid_OnlyWhatWasOwedAndPaid: what is signed ahead goes back, so it makes nobody known; a live lease must have
// paid a whole tick.
func TestWasPaid_OnlyWhatWasOwedAndPaid(t *testing.T) {
	t.Parallel()
	// a unit per ms, a tick is 10,000
	terms := market.Terms{Rate: 3_600_000, Devices: 1, Tick: 10 * time.Second, Cap: 1_000_000, Budget: 1_000_000}
	for name, c := range map[string]struct {
		state  market.LeaseState
		ms     uint64
		paid   market.Amount
		limit  market.Amount
		known  bool
		inTick bool
	}{
		"preparing":               {state: market.Preparing, inTick: true},
		"nothing paid":            {state: market.Running, ms: 5_000, inTick: true},
		"signed ahead":            {state: market.Running, ms: 5, paid: 500_000},
		"less than a tick ran":    {state: market.Running, ms: 9_999, paid: 10_000},
		"less than a tick paid":   {state: market.Paused, ms: 10_000, paid: 9_999, inTick: true},
		"a tick":                  {state: market.Running, ms: 10_000, paid: 10_000, known: true},
		"all of a small cap":      {state: market.Running, ms: 4_000, paid: 4_000, limit: 4_000, known: true},
		"over, nothing ran":       {state: market.Closing, paid: 10_000},
		"over, nothing paid":      {state: market.Ended, ms: 9_000},
		"over, a little was paid": {state: market.Closing, ms: 3, paid: 10_000, known: true},
	} {
		m := market.Lease{Common: market.Common{Terms: terms, State: c.state, Meter: meter.Meter{BillableMS: c.ms},
			Paid: c.paid}}
		if c.state != market.Preparing {
			m.Ready = time.Unix(1, 0)
		}
		if c.limit > 0 {
			m.Terms.Cap = c.limit
		}
		if known, first := wasPaid(m), inFirstTick(m); known != c.known || first != c.inTick {
			t.Errorf("%s (owed %d): known %v, in its first tick %v", name, m.Owed(), known, first)
		}
	}
}

// TestStartsWait_UntilTheOldestThatCountsIsAnHourOld: also when the limit was lowered meanwhile.
func TestStartsWait_UntilTheOldestThatCountsIsAnHourOld(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	ago := func(minutes ...int) (out []time.Time) {
		for _, m := range minutes {
			out = append(out, now.Add(-time.Duration(m)*time.Minute))
		}
		return out
	}
	for _, c := range []struct {
		limit  int
		starts []time.Time
		want   time.Duration
	}{
		{3, nil, 0},
		{3, ago(50, 1), 0},
		{3, ago(1, 50, 20), 10 * time.Minute},
		{3, ago(1, 50, 20, 40), 20 * time.Minute},
		{1, ago(1, 50, 20), 59 * time.Minute},
		{1, ago(60), time.Second},
		{1, ago(-10), 70 * time.Minute}, // of before the clock was set back
	} {
		if got := (&Policy{PayerStarts: c.limit}).startsWait(c.starts, now); got != c.want {
			t.Errorf("limit %d, %d starts: %s, want %s", c.limit, len(c.starts), got, c.want)
		}
	}
}

// TestAdmitsImage_ManyRules_FitIntoARefusal: a long list is cut, the rule's name stays.
func TestAdmitsImage_ManyRules_FitIntoARefusal(t *testing.T) {
	t.Parallel()
	var pol Policy
	for range 100 {
		r, err := spec.ParseImageRule("ghcr.io/some/repository")
		if err != nil {
			t.Fatal(err)
		}
		pol.Allow = append(pol.Allow, r)
	}
	var refusal *market.Refusal
	err := pol.admitsImage("python@sha256:" + strings.Repeat("a", 64))
	if !errors.As(err, &refusal) || refusal.Code != market.CodePolicy || len(refusal.Detail) > 256 ||
		!strings.HasPrefix(refusal.Detail, "provider.allow_images: this rig runs only ghcr.io/some/repository, ") {
		t.Errorf("%v", err)
	}
	if err := pol.admitsImage("ghcr.io/some/repository/x@sha256:" + strings.Repeat("a", 64)); err != nil {
		t.Error(err)
	}
}
