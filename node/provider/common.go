package provider

import (
	"context"
	"log/slog"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
)

// common is what all owners of the role know. Nothing of it changes.
type common struct {
	cfg    Config
	db     *store.Store
	clock  *lease.Clock
	log    *slog.Logger
	loaded chan struct{} // closed once the store is read: until then no lease is known
}

func (c *common) now() time.Time { return c.clock.Now() }

// startWait is how long a request waits for a start that is under way: a customer asks anew on another connection after
// 1.5 s.
const startWait = time.Second

// started waits until all steps are done, for startWait. A peer that asks in a rig's first moments must not hear a "no"
// that holds only then: of a lease that is not read yet, of an engine that is not checked yet. Refusal: busy.
func (c *common) started(ctx context.Context, steps ...<-chan struct{}) error {
	var late <-chan time.Time
	for _, step := range append(steps, c.loaded) {
		select {
		case <-step:
			continue
		default:
		}
		if late == nil {
			late = time.After(startWait)
		}
		select {
		case <-step:
			continue
		case <-ctx.Done():
		case <-late:
		}
		r := market.Refuse(market.CodeBusy, market.KindUnavailable, "this rig is starting")
		r.RetryAfter = startWait
		return r
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
