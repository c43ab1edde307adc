package customer

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestCheckQuote_AccountsThatCannotBePaid_AreRefused: a quote whose accounts no channel can pay is refused before
// anything is opened for it, so that it costs the order nothing but the next quote.
func TestCheckQuote_AccountsThatCannotBePaid_AreRefused(t *testing.T) {
	now := time.Now()
	id, to, payer := market.DocID{1}, market.NodeID{2}, market.Address{3}
	order := market.Order{Payer: payer, Devices: 1, MaxRate: 10}
	good := market.Quote{
		Order: id, Devices: make([]market.DeviceID, 1), Rate: 5, Payout: market.Address{4}, FeePayer: market.Address{5},
		ClaimFee: 50_000,
		Tick:     10 * time.Second, Expires: now.Add(20 * time.Second),
	}
	if err := checkQuote(good, order, id, to, to, now); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*market.Quote){
		"payout to nobody":    func(q *market.Quote) { q.Payout = market.Address{} },
		"payout to the payer": func(q *market.Quote) { q.Payout = payer },
		"payout to a sysvar": func(q *market.Quote) {
			q.Payout = market.Address{6, 167, 213, 23, 24, 123, 209, 102, 53, 218, 212, 4, 85, 253, 194, 192, 193, 36,
				198, 143, 33, 86, 117, 165, 219, 186, 203, 95, 8}
		},
		"fee to nobody":          func(q *market.Quote) { q.FeePayer = market.Address{} },
		"fee to the payer":       func(q *market.Quote) { q.FeePayer = payer },
		"a fee above the limit":  func(q *market.Quote) { q.ClaimFee = maxClaimFee + 1 },
		"another node's":         func(q *market.Quote) { q.Order = market.DocID{9} },
		"more than the top rate": func(q *market.Quote) { q.Rate = 11 },
	} {
		q := good
		change(&q)
		if err := checkQuote(q, order, id, to, to, now); market.CodeOf(err) != market.CodeQuoteRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
