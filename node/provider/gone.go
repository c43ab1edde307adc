package provider

import (
	"context"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/till"
)

// A channel whose account is gone is told nothing more by the chain. Once its leases have left memory as well, its
// books leave: a start does not read them, and no look goes through them.

// find is a known channel, nil: there is none. One that has left memory is read from the store. Errors: the store's.
func (b *books) find(id market.ChannelID) (*channel, error) {
	b.mu.Lock()
	ch := b.channels[id]
	b.mu.Unlock()
	if ch != nil {
		return ch, nil
	}
	book, err := b.till.Past(id)
	if err != nil {
		err = fmt.Errorf("read channel: %w", err)
	}
	if book == nil {
		return nil, err
	}
	return &channel{Book: book, id: id, adding: make(chan struct{}, 1)}, nil
}

// over reports that nothing of a channel changes any more: its account is gone, all that it settled was paid out, and
// no lease is in its books, which one with a debt is. That its account is absent may be an endpoint's fault: the chain
// showed its end before, or an earlier start saw the same.
func (ch *channel) over() bool {
	a, r := ch.See()
	return a.Phase == escrow.PhaseGone && (r.Sealed || ch.gone) && a.SentToPay >= a.Settled && len(a.Leases) == 0
}

// leave lets channels that are over go from memory. What does not go now does at the next look.
func (b *books) leave(ctx context.Context, list []*channel) {
	var over []*till.Book[channelRow]
	for _, ch := range list {
		if a, _ := ch.See(); a.Phase != escrow.PhaseGone {
			continue
		}
		// leases that have left since the last entry are folded
		if err := b.keep(context.WithoutCancel(ctx), ch, func(*entry) error { return nil }); err != nil {
			b.log.Warn("Channel that is gone was not stored", "channel", ch.id, "error", err)
		} else if ch.over() {
			over = append(over, ch.Book)
		}
	}
	if err := b.till.Leave(over...); err != nil {
		b.log.Warn("Channels that are gone stay in memory", "error", err)
		return
	}
	for _, book := range over {
		if book.Left() { // else a lease came meanwhile
			b.mu.Lock()
			delete(b.channels, book.ID())
			b.mu.Unlock()
		}
	}
}
