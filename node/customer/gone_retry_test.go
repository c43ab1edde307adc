package customer

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestSilence_SaysWhatFollows: of an order with a retry left a silent provider is followed by another attempt; of any
// other the order ends.
func TestSilence_SaysWhatFollows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		purchase market.Purchase
		anew     bool
	}{
		"no retry": {market.Purchase{}, false},
		"one left": {market.Purchase{Terms: market.PurchaseTerms{Retry: 1}}, true},
		"used up":  {market.Purchase{Terms: market.PurchaseTerms{Retry: 1}, Lost: make([]market.Attempt, 1)}, false},
		"stopping": {market.Purchase{Terms: market.PurchaseTerms{Retry: 1}, StopCode: market.CodeStopped}, false},
	} {
		for _, state := range []market.LeaseState{market.Running, market.Silent} {
			got, _ := silence(orderRow{Purchase: c.purchase, Lease: &market.Lease{Common: market.Common{State: state}}},
				time.Now())
			anew, ends := strings.Contains(got, "is placed anew"), strings.Contains(got, "the order ends")
			if anew != c.anew || ends == anew {
				t.Errorf("%s, %s: %s", name, state, got)
			}
		}
	}
	v := View{Lease: &market.Lease{Common: market.Common{State: market.Silent}},
		buys: market.Purchase{Terms: market.PurchaseTerms{Retry: 1}}}
	if got, _ := v.Silence(); !strings.Contains(got, "is placed anew") {
		t.Error(got)
	}
}
