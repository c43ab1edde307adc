package provider

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// stepLasts is how long a step must last before the lease notes it: a quick preparation needs no commits.
const stepLasts = time.Second

// preparing tells the lease what its preparation waits for and why, so that the end names it if the time runs out.
func (l *leaseRun) preparing(ctx context.Context, m market.Lease, o job.Observed, err error) {
	if m.State != market.Preparing {
		return
	}
	step := market.PrepStep{Phase: o.Progress.Phase, Detail: o.Detail}
	switch {
	case o.State == job.Unknown:
		step.Phase = "create" // the engine's part of it
		if err != nil {
			step.Detail = "the rig's engine does not answer"
		}
	case o.State == job.Pulling:
		step.Phase = "pull"
	case o.State == job.Created && !l.inputsReady.Load():
		step.Phase = "inputs"
	case o.State == job.Created || o.State == job.Gated:
		step.Phase = "start"
	}
	if step != l.step {
		l.step, l.stepSince = step, time.Now()
	}
	if (step.Phase != m.Phase || step.Detail != m.Words) && time.Since(l.stepSince) >= stepLasts {
		if err := l.tell(ctx, step); err != nil && ctx.Err() == nil {
			l.p.log.Warn("Lease event was not taken", "lease", l.id, "error", err)
		}
	}
}
