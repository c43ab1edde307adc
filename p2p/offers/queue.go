package offers

import (
	"context"
	"sync"

	"github.com/gpuai/gpuai/market"
)

// queueSize bounds what waits for the Sink; the oldest is dropped, sync's next round does not bring it back, the next announcement does.
const queueSize = 2048

type item struct {
	offer market.Offer
	raw   []byte
}

// queue hands Offers to the one goroutine that calls the Sink.
type queue struct {
	mu      sync.Mutex
	items   []item
	dropped uint64
	wake    chan struct{}
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) push(i item) {
	q.mu.Lock()
	if len(q.items) >= queueSize {
		q.items = q.items[1:]
		q.dropped++
	}
	q.items = append(q.items, i)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) drain() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.items
	q.items = nil
	return out
}

// serve feeds each item to fn until ctx ends.
func (q *queue) serve(ctx context.Context, fn func(item)) error {
	for {
		for _, i := range q.drain() {
			fn(i)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		}
	}
}
