package customer

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// payAgain is how often a payee's account is looked at that could not take its money.
const payAgain = time.Minute

// payFirst pays a provider what its sealed channel owes it, so that the storage deposit can come back: when the channel
// was finished, the provider's account did not exist and the sum could not create it. All channels of the provider
// count together.
func (c *Customer) payFirst(ctx context.Context, ch *channel, head escrow.Head) {
	now := c.now()
	if at := ch.payAt.Load(); at != 0 && now.Sub(time.Unix(0, at)) < payAgain {
		return
	}
	ch.payAt.Store(now.UnixNano())
	payee := ch.row().Terms.Payee
	balance, err := c.ledger.Balance(ctx, payee)
	if err != nil {
		return // the next look
	}
	due, settled := c.dueTo(payee)
	pick := escrow.Payout{Balance: balance, Minimum: market.Amount(escrow.AccountOverhead * head.RentPerByte)}.Pay(due,
		0)
	if len(pick) == 0 {
		return
	}
	in, _ := escrow.PayIntent(pick, settled[pick[0]])
	if err := c.ledger.Submit(ctx, in); err != nil && ctx.Err() == nil {
		c.log.Debug("Payout was not submitted", "channel", ch.id, "error", err)
	}
}

// dueTo lists what own channels have settled for a payee and not paid.
func (c *Customer) dueTo(payee market.Address) (due []escrow.Due, settled map[market.ChannelID]market.Amount) {
	settled = map[market.ChannelID]market.Amount{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, ch := range c.channels {
		if a, row := ch.See(); row.Terms.Payee == payee && a.Phase < escrow.PhaseGone && a.SentToPay < a.Settled {
			due = append(due, escrow.Due{Channel: id, Amount: a.Settled - a.SentToPay})
			settled[id] = a.Settled
		}
	}
	return due, settled
}

// owes is what a sealed channel has settled for its provider and not paid: its account cannot take it yet.
func owes(a escrow.Account) market.Amount {
	if a.Phase != escrow.PhaseSealed {
		return 0
	}
	return a.Settled - min(a.SentToPay, a.Settled)
}
