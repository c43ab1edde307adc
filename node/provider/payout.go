package provider

import (
	"context"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// payFee is what paying out costs, one signature: less is not paid by itself, but with the next sum.
const payFee = market.Amount(escrow.FeePerSignature)

// payDue pays out what channels have settled and not paid: their payout account did not exist when they were recorded
// or sealed. It does now, or they create it together. What still waits is kept for people.
func (s *settler) payDue(ctx context.Context, list []*channel, payout escrow.Payout) {
	var due []escrow.Due
	var waits market.Amount
	settled := map[market.ChannelID]market.Amount{}
	for _, ch := range list {
		a, _ := ch.See()
		ch.mu.Lock()
		asked := ch.asked
		ch.mu.Unlock()
		if a.Phase >= escrow.PhaseGone || a.SentToPay >= a.Settled || asked > a.Settled { // a claim under way pays it
			continue
		}
		due = append(due, escrow.Due{Channel: ch.id, Amount: a.Settled - a.SentToPay})
		settled[ch.id] = a.Settled
		waits += a.Settled - a.SentToPay
	}
	pick := payout.Pay(due, payFee)
	s.mu.Lock()
	s.waits = Waits{}
	if len(pick) == 0 && waits > 0 {
		s.waits = Waits{Sum: waits, Missing: payout.Missing(waits)}
	}
	s.mu.Unlock()
	if len(pick) == 0 {
		return
	}
	in, _ := escrow.PayIntent(pick, settled[pick[0]])
	if err := s.ledger.Submit(ctx, in); err != nil && ctx.Err() == nil {
		s.log.Warn("Payout was not submitted", "channels", len(pick), "error", err)
	}
}

// Waits is what is settled for the payout account and cannot be paid to it yet. Missing is what the account lacks for
// it; 0: the sum is only smaller than the fee, and comes with the next one.
type Waits struct{ Sum, Missing market.Amount }

// Waits returns what waits for the payout account, as of the last look at the ledger.
func (s *settler) Waits() Waits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits
}
