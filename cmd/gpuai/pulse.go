package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/node/api"
)

// pulseRest is how often an order is looked at while no events come: the node is too old, or has too many readers.
// With events it is calmRests as long: progress, the meter and the ledger are none.
const (
	pulseRest = 200 * time.Millisecond
	calmRests = 5
)

// followed are the topics of what can happen to an order.
var followed = []string{"order", "lease", "channel"}

// pulse beats at each event about orders and their money, and at the end of each rest. stop ends it.
func pulse(ctx context.Context, c *api.Client) (beats <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan struct{}, 1)
	beat := func() {
		select {
		case out <- struct{}{}:
		default:
		}
	}
	var told, watching atomic.Bool // by events; a stream is open or being opened
	var wg sync.WaitGroup
	watch := func() {
		defer watching.Store(false)
		defer told.Store(false)
		_ = c.Events(ctx, followed, func() { told.Store(true); beat() }) // the next look says why not
	}
	wg.Go(func() {
		tick := time.NewTicker(pulseRest)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			if n%calmRests == 0 && watching.CompareAndSwap(false, true) {
				wg.Go(watch)
			}
			if n > 0 && (n%calmRests == 0 || !told.Load()) {
				beat()
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return out, func() { cancel(); wg.Wait() }
}
