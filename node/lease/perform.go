package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
)

// queue holds effects in order. A newer effect of a kind that only states the newest truth replaces the waiting one.
type queue struct {
	mu   sync.Mutex
	list []market.Effect
	wake chan struct{}
}

// newestWins are the kinds of which only the last one matters.
func newestWins(e market.Effect) bool {
	switch e.(type) {
	case market.SendReceipt, market.SendStatus, market.WantJob, market.AskStatus, market.SignPayment,
		market.SendStop, market.SendLease:
		return true
	}
	return false
}

func kindOf(e market.Effect) string { return fmt.Sprintf("%T", e) }

// add appends. All other kinds are idempotent, so one waiting effect equal to a new one is enough; the list is thus
// bounded by kinds.
func (q *queue) add(effects []market.Effect) {
	if len(effects) == 0 {
		return
	}
	q.mu.Lock()
	for _, e := range effects {
		for i, old := range q.list {
			if kindOf(old) == kindOf(e) && (newestWins(e) || old == e) {
				q.list = append(q.list[:i], q.list[i+1:]...)
				break
			}
		}
		if len(q.list) < maxEffects {
			q.list = append(q.list, e)
		}
	}
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take removes and returns the oldest effect.
func (q *queue) take() (market.Effect, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return nil, false
	}
	e := q.list[0]
	q.list = q.list[1:]
	return e, true
}

// replaced reports whether a newer effect of the same kind waits.
func (q *queue) replaced(e market.Effect) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, o := range q.list {
		if kindOf(o) == kindOf(e) && (newestWins(e) || o == e) {
			return true
		}
	}
	return false
}

// perform runs one worker per kind of effect, so that a slow peer or a slow upload holds up neither the job nor a
// receipt; effects of one kind run in order.
func (a *Actor) perform(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	lanes := map[string]*queue{}
	for {
		e, ok := a.work.take()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-a.work.wake:
			}
			continue
		}
		k := kindOf(e)
		if k == kindOf(market.ClaimNow{}) || k == kindOf(market.SignRelease{}) {
			k = "money" // the claim goes before the release
		}
		lane, ok := lanes[k]
		if !ok {
			lane = &queue{wake: make(chan struct{}, 1)}
			lanes[k] = lane
			wg.Go(func() { a.lane(ctx, lane) })
		}
		lane.add([]market.Effect{e})
	}
}

func (a *Actor) lane(ctx context.Context, q *queue) {
	for {
		e, ok := q.take()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-q.wake:
			}
			continue
		}
		if !a.try(ctx, q, e) {
			return
		}
	}
}

// try performs one effect until it succeeds, a newer one replaces it, or ctx ends (false).
func (a *Actor) try(ctx context.Context, q *queue, e market.Effect) bool {
	wait := retryFirst
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			return false
		}
		err := a.act(ctx, a.Lease(), e)
		var refusal *market.Refusal
		refused := errors.As(err, &refusal)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case refused && !refusal.Passes() || errors.Is(err, ErrGiveUp):
			a.log.Warn("Effect was refused", "effect", kindOf(e), "error", err)
			return true
		case n == stuckFrom:
			a.log.Warn("Effect is stuck", "code", market.CodeEffectStuck, "effect", kindOf(e), "failures", n, "error",
				err)
		default:
			a.log.Debug("Effect failed", "effect", kindOf(e), "failures", n, "error", err)
		}
		pause := wait
		if refused {
			pause = min(max(wait, refusal.RetryAfter), retryMost)
		}
		if err := await.Sleep(ctx, pause); err != nil {
			return false
		}
		if q.replaced(e) {
			return true
		}
		wait = min(2*wait, retryMost)
	}
}
