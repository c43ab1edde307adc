package escrow

import (
	"cmp"
	"slices"

	"github.com/gpuai/gpuai/market"
)

// MaxPaid is how many Channels one OpPay pays: 38 bytes each, of a transaction's 1,232.
const MaxPaid = 20

// Due is what a Channel has settled for its payee and not paid.
type Due struct {
	Channel market.ChannelID
	Amount  market.Amount
}

// Payout is the payee's account as the ledger shows it: Minimum is the rent minimum of a plain account. An account that
// holds less does not exist, or cannot take a sum that leaves it below.
type Payout struct{ Balance, Minimum market.Amount }

// Receives reports whether the account can take sum in one transaction.
func (p Payout) Receives(sum market.Amount) bool { return sum > 0 && p.Balance+sum >= p.Minimum }

// Missing is what the account lacks to take sum; 0: nothing.
func (p Payout) Missing(sum market.Amount) market.Amount {
	return p.Minimum - min(p.Balance+sum, p.Minimum)
}

// Pay picks the Channels whose dues one transaction pays, largest first; none while they together cannot create the
// account, or are not worth cost. due may be in any order.
func (p Payout) Pay(due []Due, cost market.Amount) (pick []market.ChannelID) {
	due = slices.DeleteFunc(slices.Clone(due), func(d Due) bool { return d.Amount == 0 })
	slices.SortFunc(due, func(a, b Due) int {
		return cmp.Or(cmp.Compare(b.Amount, a.Amount), slices.Compare(a.Channel[:], b.Channel[:]))
	})
	var sum market.Amount
	for _, d := range due[:min(len(due), MaxPaid)] {
		sum, pick = sum+d.Amount, append(pick, d.Channel)
	}
	if !p.Receives(sum) || sum <= cost {
		return nil
	}
	return pick
}

// PayIntent pays the picked Channels; settled is the first one's, so that what is settled later is another wish.
// Nothing picked: ok is false.
func PayIntent(pick []market.ChannelID, settled market.Amount) (in Intent, ok bool) {
	if len(pick) == 0 {
		return in, false
	}
	return Intent{Op: OpPay, Channel: pick[0], Also: pick[1:], Nonce: uint64(settled)}, true
}
