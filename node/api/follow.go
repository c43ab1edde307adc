package api

import (
	"context"
	"sync"
	"time"

	"github.com/gpuai/gpuai/node/rest"
)

// How often a running operation is looked at: while its events come, in case that one is lost, and without them.
const (
	lookWithEvents = 5 * time.Second
	lookAlone      = 100 * time.Millisecond
)

// follow asks for an operation at each event of the topic until it is over; without a stream of them, often.
func (c *link) follow(ctx context.Context, op rest.Operation) (_ rest.Operation, err error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	sctx, end := context.WithCancel(ctx)
	defer end()
	news, cut := make(chan struct{}, 1), make(chan struct{})
	wg.Go(func() {
		defer close(cut)
		_ = c.Events(sctx, []string{"operation"}, func() { // an error: it is looked at often
			select {
			case news <- struct{}{}:
			default:
			}
		})
	})
	every := lookWithEvents
	for err == nil && op.State == "running" {
		select {
		case <-ctx.Done():
			return op, ctx.Err()
		case <-news:
		case <-cut:
			cut, every = nil, lookAlone
		case <-time.After(every):
		}
		op, err = ordersClient{c}.Operation(ctx, op.ID)
	}
	return op, err
}
