package offers

import (
	"context"
	"sync"

	"github.com/gpuai/gpuai/market"
)

// queue names the signers whose newest Offer the Sink has not had yet, each at most once. What is delivered is looked
// up in the set then, so nothing is lost however slow or late the Sink is: the queue is no larger than the set.
type queue struct {
	mu    sync.Mutex
	order []market.NodeID
	in    map[market.NodeID]bool
	wake  chan struct{}
}

func newQueue() *queue { return &queue{in: map[market.NodeID]bool{}, wake: make(chan struct{}, 1)} }

func (q *queue) push(ids ...market.NodeID) {
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

func (q *queue) drain() []market.NodeID {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.order
	q.order = nil
	clear(q.in)
	return out
}

// serve feeds each signer to fn until ctx ends.
func (q *queue) serve(ctx context.Context, fn func(market.NodeID)) error {
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
