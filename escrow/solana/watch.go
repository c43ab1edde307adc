package solana

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// subscriber collects intent outcomes for one Watch: the newest per intent, so a slow callback costs no memory.
type subscriber struct {
	mu      sync.Mutex
	results map[string]escrow.Result
	signal  chan struct{}
}

func (s *subscriber) result(key string, r escrow.Result) {
	s.mu.Lock()
	s.results[key] = r
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *subscriber) take() map[string]escrow.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.results
	s.results = map[string]escrow.Result{}
	return out
}

// Watch implements escrow.Ledger by polling the confirmed view every Config.Poll, and at once after an own intent. It
// first reports every known intent and every Channel of the filter. An endpoint that does not answer is waited for.
func (l *Ledger) Watch(ctx context.Context, flt escrow.Filter, f func(escrow.Update) error) error {
	s := &subscriber{results: map[string]escrow.Result{}, signal: make(chan struct{}, 1)}
	l.mu.Lock()
	for key, r := range l.recs {
		s.results[key] = r.Result
	}
	l.subs[s] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.subs, s)
		l.mu.Unlock()
	}()
	last := map[market.ChannelID]escrow.ChannelState{}
	t := time.NewTicker(l.cfg.Poll)
	defer t.Stop()
	for {
		for key, r := range s.take() {
			if err := f(escrow.Update{Intent: key, Result: r}); err != nil {
				return err
			}
		}
		if err := l.changes(ctx, flt, last, f); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.signal:
		case <-t.C:
		}
	}
}

// changes reports Channels that differ from last; only f's error ends the watch.
func (l *Ledger) changes(ctx context.Context, flt escrow.Filter, last map[market.ChannelID]escrow.ChannelState,
	f func(escrow.Update) error) error {
	if flt.Channels == nil {
		return nil
	}
	ids := flt.Channels()
	states, err := l.Channels(ctx, ids, escrow.Confirmed)
	if err != nil {
		if ctx.Err() == nil {
			l.log.Warn("watching channels", "err", err)
		}
		return nil
	}
	asked := make(map[market.ChannelID]bool, len(ids))
	for i, cs := range states {
		asked[ids[i]] = true
		plain := cs
		plain.Slot = 0 // the view moves on without a change
		if old, ok := last[ids[i]]; ok && old == plain {
			continue
		}
		if err := f(escrow.Update{Channel: &cs}); err != nil {
			return err
		}
		last[ids[i]] = plain
	}
	maps.DeleteFunc(last, func(id market.ChannelID, _ escrow.ChannelState) bool { return !asked[id] })
	return nil
}
