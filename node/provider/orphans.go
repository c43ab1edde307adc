package provider

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/runtime/job"
)

// orphanLife is how long a container that bears our name but is in no lease is kept, paused, with a healthy store.
const orphanLife = 10 * time.Minute

// orphans looks for containers of no lease.
type orphans struct {
	*common
	desk *desk
}

// orphansEvery is how often it is looked for containers of no lease; the first look is at the start.
const orphansEvery = 10 * time.Second

// serve pauses at once what bears our name and is in no lease, and removes it after orphanLife: an old store may
// have been restored.
func (o *orphans) serve(ctx context.Context) {
	since := map[market.LeaseID]time.Time{}
	for ctx.Err() == nil {
		found, err := o.desk.runner.List(ctx)
		if err != nil {
			found = nil // the engine does not answer: nothing is known, nothing is done
		}
		for _, f := range found {
			o.lookAt(ctx, f, since)
		}
		_ = await.Sleep(ctx, orphansEvery)
	}
}

// lookAt decides about one container.
func (o *orphans) lookAt(ctx context.Context, f job.Found, since map[market.LeaseID]time.Time) {
	if l := o.desk.find(f.Key.Lease); l != nil {
		if l.actor.Lease().Terminal() { // the node ended between the last commit and the removal
			l.cleaned(ctx)
		}
		return
	}
	if known, err := o.desk.knows(f.Key.Lease); err != nil || known { // the same, and the lease has left memory
		if err == nil {
			err = o.desk.runner.Remove(ctx, f.Key)
		}
		if err != nil && ctx.Err() == nil {
			o.log.Warn("Container of a lease that is over was not removed", "lease", f.Key.Lease, "error", err)
		}
		return
	}
	if since[f.Key.Lease].IsZero() {
		since[f.Key.Lease] = o.now()
		o.log.Warn("Container without a lease is paused", "code", market.CodeContainerUnknown, "lease", f.Key.Lease)
	}
	if err := o.remove(ctx, f, since[f.Key.Lease]); err != nil && ctx.Err() == nil {
		o.log.Warn("Container without a lease", "lease", f.Key.Lease, "error", err)
	}
}

func (o *orphans) remove(ctx context.Context, f job.Found, since time.Time) error {
	if o.now().Sub(since) > orphanLife {
		return o.desk.runner.Remove(ctx, f.Key)
	}
	if !f.Running || f.Paused || f.Role != "job" {
		return nil
	}
	_, err := o.desk.runner.Reconcile(ctx, f.Key, job.Want{Phase: job.WantPaused})
	return err
}
