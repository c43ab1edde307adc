package provider

import (
	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// released is the event of a Release that was signed: from then on the customer can close the channel at once.
func (p *Provider) released(id market.ChannelID, a escrow.Account) store.Event {
	return store.Event{
		At: p.now(), Topic: "channel", ID: id.String(), Role: "provider", Cause: "release-signed", Money: true,
		Amounts: map[string]market.Amount{"owed": a.OwedSum(), "paid": a.PaidSum()},
	}
}

// phaseEvent tells a channel of which the chain shows another phase.
func (p *Provider) phaseEvent(id market.ChannelID, a escrow.Account) store.Event {
	return store.Event{
		At: p.now(), Topic: "channel", ID: id.String(), Role: "provider", Cause: a.Phase.String(), Money: true,
		Amounts: map[string]market.Amount{"owed": a.OwedSum(), "settled": a.Settled},
	}
}

// unpaid is the event of a debt that was written down, or changed.
func (p *Provider) unpaid(id market.LeaseID, sum market.Amount) store.Event {
	return store.Event{
		At: p.now(), Topic: "lease", ID: id.String(), Role: "provider", Cause: "debt-unpaid", Money: true,
		Amounts: map[string]market.Amount{"debt": sum},
	}
}
