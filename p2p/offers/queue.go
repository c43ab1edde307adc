package offers

import (
	"context"
	"sync"
)

// queue names the rows of a set whose newest document the Sink has not had yet, each at most once: of Offers by their
// signers. What is delivered is looked up in the set then, so nothing is lost however slow or late the Sink is: the
// queue is no larger than the set.
type queue[K comparable] struct {
	mu    sync.Mutex
	order []K
	in    map[K]bool
	wake  chan struct{}
}

func newQueue[K comparable]() *queue[K] {
	return &queue[K]{in: map[K]bool{}, wake: make(chan struct{}, 1)}
}

func (q *queue[K]) push(ids ...K) {
	q.mu.Lock()
	for _, id := range ids {
		if !q.in[id] {
			q.in[id] = true
			q.order = append(q.order, id)
		}
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue[K]) drain() []K {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.order
	q.order = nil
	clear(q.in)
	return out
}

// serve feeds each row to fn until ctx ends.
func (q *queue[K]) serve(ctx context.Context, fn func(K)) error {
	for {
		for _, id := range q.drain() {
			fn(id)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		}
	}
}
