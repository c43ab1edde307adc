package solana

import (
	"context"
	"sync"

	"github.com/gpuai/gpuai/escrow"
)

// subscriber collects the states of intents for one Watch: the newest per intent, so a slow callback costs no memory.
type subscriber struct {
	mu     sync.Mutex
	news   map[string]escrow.Update
	signal chan struct{}
}

func (s *subscriber) add(r *record) {
	key := r.Intent.Key()
	s.mu.Lock()
	s.news[key] = escrow.Update{Channel: r.Intent.Channel, Intent: key, Result: r.Result}
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *subscriber) take() map[string]escrow.Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.news
	s.news = map[string]escrow.Update{}
	return out
}

// Watch implements escrow.Ledger.
func (l *Ledger) Watch(ctx context.Context, f func(escrow.Update) error) error {
	s := &subscriber{news: map[string]escrow.Update{}, signal: make(chan struct{}, 1)}
	l.mu.Lock()
	for _, r := range l.recs {
		s.add(r)
	}
	l.subs[s] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.subs, s)
		l.mu.Unlock()
	}()
	for {
		for _, u := range s.take() {
			if err := f(u); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.signal:
		}
	}
}
