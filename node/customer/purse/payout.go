package purse

import (
	"context"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// payFirst pays a provider what its sealed channel owes it, so that the storage deposit can come back: when the channel
// was finished, the provider's account did not exist and the sum could not create it. All channels of the provider
// count together.
func (k *keeper) payFirst(ctx context.Context, ch *Channel, head escrow.Head) (again bool) {
	ch.mu.Lock()
	ch.pursuit.paidAt = k.now()
	ch.mu.Unlock()
	payee := ch.Row().Terms.Payee
	balance, err := k.ledger.Balance(ctx, payee)
	if err != nil {
		return false // the next look
	}
	due, settled := k.dueTo(payee)
	pick := escrow.Payout{Balance: balance, Minimum: market.Amount(escrow.AccountOverhead * head.RentPerByte)}.Pay(due,
		0)
	if len(pick) == 0 {
		return false
	}
	in, _ := escrow.PayIntent(pick, settled[pick[0]])
	if first := k.Of(in.Channel); first != nil {
		return k.begin(ctx, first, in)
	}
	return false
}

// dueTo lists what own channels have settled for a payee and not paid.
func (k *keeper) dueTo(payee market.Address) (due []escrow.Due, settled map[market.ChannelID]market.Amount) {
	settled = map[market.ChannelID]market.Amount{}
	for _, ch := range k.all() {
		if a, row := ch.book.See(); row.Terms.Payee == payee && a.Phase < escrow.PhaseGone && a.SentToPay < a.Settled {
			due = append(due, escrow.Due{Channel: ch.id, Amount: a.Settled - a.SentToPay})
			settled[ch.id] = a.Settled
		}
	}
	return due, settled
}
