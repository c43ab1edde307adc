package provider

import (
	"context"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
)

// accepted is the event of a lease that is committed for the first time.
func (l *leaseRun) accepted() []store.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return lease.Events(0, l.row.Lease, &l.row.Events, l.p.now())
}

// released is the event of a Release that was signed: from then on the customer can close the channel at once.
func (p *Provider) released(id market.ChannelID, a escrow.Account) store.Event {
	return store.Event{
		At: p.now(), Topic: "channel", ID: id.String(), Role: "provider", Cause: "release-signed", Money: true,
		Amounts: map[string]market.Amount{"owed": a.OwedSum(), "paid": a.PaidSum()},
	}
}

// chainChanged stores a channel of which the chain shows another phase, or more settled, and tells the phase. Caller
// holds ch.mu. What is not stored now is seen again at the next start.
func (p *Provider) chainChanged(ctx context.Context, ch *channel, phase bool) {
	a := ch.row.Account
	var told []store.Event
	if phase {
		told = append(told, store.Event{
			At: p.now(), Topic: "channel", ID: ch.id.String(), Role: "provider", Cause: a.Phase.String(), Money: true,
			Amounts: map[string]market.Amount{"owed": a.OwedSum(), "settled": a.Settled},
		})
	}
	if err := p.keepRow(context.WithoutCancel(ctx), ch, ch.row, told...); err != nil {
		p.log.Warn("Change of a channel was not stored", "channel", ch.id, "error", err)
	}
}

// unpaid is the event of a debt that was written down, or changed.
func (p *Provider) unpaid(id market.LeaseID, sum market.Amount) store.Event {
	return store.Event{
		At: p.now(), Topic: "lease", ID: id.String(), Role: "provider", Cause: "debt-unpaid", Money: true,
		Amounts: map[string]market.Amount{"debt": sum},
	}
}
