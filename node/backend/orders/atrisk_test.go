package orders

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestRun_AtRiskIsTrue: what run and show call at risk is what the lease may sign ahead of its meter now: nothing
// before two paid minutes, then the time away, bounded by away_max and by what is left of the cap.
func TestRun_AtRiskIsTrue(t *testing.T) {
	t.Parallel()
	const minute = 1_000_000 // lamports, at 0.06 SOL/h
	terms := market.Terms{
		Rate: 60 * minute, Devices: 1, Tick: 10 * time.Second, MaxDuration: time.Hour, Cap: 20 * minute,
		Budget: 20 * minute,
		Away:   15 * time.Minute, AwayMax: 10 * minute, AwayAfter: 2 * time.Minute,
	}
	for name, c := range map[string]struct {
		signed, claim, want market.Amount
		change              func(*market.Terms)
	}{
		"stranger":      {0, 0, 0, nil},
		"one minute":    {minute, minute, 0, nil},
		"two minutes":   {2 * minute, 2 * minute, 10 * minute, nil},
		"short away":    {2 * minute, 2 * minute, 3 * minute, func(t *market.Terms) { t.Away = 3 * time.Minute }},
		"off":           {2 * minute, 2 * minute, 0, func(t *market.Terms) { t.Away = 0 }},
		"near the cap":  {18 * minute, 18 * minute, 2 * minute, nil},
		"known already": {0, 0, 10 * minute, func(t *market.Terms) { t.PriorMS = 120_000 }},
	} {
		lease := market.Lease{Common: market.Common{State: market.Running, Terms: terms,
			Billed: market.Billed{Claim: c.claim}}, Bought: market.Bought{Signed: c.signed}}
		if c.change != nil {
			c.change(&lease.Terms)
		}
		doc := (&Desk{}).Doc(customer.View{Lease: &lease})
		if got := doc.AtRisk.Lamports(); got != c.want || got != lease.AtRisk() {
			t.Errorf("%s: at risk %d, want %d; the lease may sign %d ahead", name, got, c.want, lease.AtRisk())
		}
	}
	ended := market.Lease{Common: market.Common{State: market.Ended, Terms: terms,
		Billed: market.Billed{Claim: 5 * minute}}, Bought: market.Bought{Signed: 5 * minute}}
	if got := (&Desk{}).Doc(customer.View{Lease: &ended}).AtRisk.Lamports(); got != 0 {
		t.Errorf("an ended lease has %d at risk", got)
	}
}
