package escrowtest

import (
	"context"
	"maps"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// pollEvery is how often Watch looks.
const pollEvery = 20 * time.Millisecond

// Watch implements escrow.Ledger.
func (l *Ledger) Watch(ctx context.Context, flt escrow.Filter, f func(escrow.Update) error) error {
	told := map[string]escrow.Result{}
	last := map[market.ChannelID]escrow.ChannelState{}
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		l.mu.Lock()
		now, changed := maps.Clone(l.results), l.changed
		l.mu.Unlock()
		for key, e := range now {
			r := l.settle(e.result)
			if told[key] == r {
				continue
			}
			if err := f(escrow.Update{Intent: key, Result: r}); err != nil {
				return err
			}
			told[key] = r
		}
		if err := l.watchChannels(ctx, flt, last, f); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-t.C:
		}
	}
}

func (l *Ledger) watchChannels(ctx context.Context, flt escrow.Filter, last map[market.ChannelID]escrow.ChannelState,
	f func(escrow.Update) error) error {
	if flt.Channels == nil {
		return nil
	}
	states, err := l.Channels(ctx, flt.Channels(), escrow.Confirmed)
	if err != nil {
		return nil // unreachable: look again
	}
	for _, cs := range states {
		plain := cs
		plain.Slot = 0
		if old, ok := last[cs.ID]; ok && old == plain {
			continue
		}
		if err := f(escrow.Update{Channel: &cs}); err != nil {
			return err
		}
		last[cs.ID] = plain
	}
	return nil
}
