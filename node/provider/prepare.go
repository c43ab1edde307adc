package provider

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// stepLasts is how long a step must last before the lease notes it: a quick preparation needs no commits.
const stepLasts = time.Second

// preparation is the hook of what happens before the job runs. Its fields belong to the lease's loop.
type preparation struct {
	step  market.PrepStep
	since time.Time
}

// note tells the lease what its preparation waits for and why, so that the end names it if the time runs out.
func (h *preparation) note(ctx context.Context, l *leaseRun, m market.Lease, o job.Observed, err error) {
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
	case o.State == job.Created && !l.inputs.ready.Load():
		step.Phase = "inputs"
	case o.State == job.Created || o.State == job.Gated:
		step.Phase = "start"
	}
	if step != h.step {
		h.step, h.since = step, time.Now()
	}
	if step.Phase != "inputs" {
		l.inputs.marks = nil
	} else if detail := l.inputs.stalled(time.Now(), l.quote.FloorRate/inputsShare); detail != "" {
		if err := l.tell(ctx, market.PrepFailed{Code: market.CodeInputStalled, Detail: detail}); err != nil &&
			ctx.Err() == nil {
			l.d.log.Warn("Lease event was not taken", "lease", l.id, "error", err)
		}
		return
	}
	if (step.Phase != m.Phase || step.Detail != m.Words) && time.Since(h.since) >= stepLasts {
		if err := l.tell(ctx, step); err != nil && ctx.Err() == nil {
			l.d.log.Warn("Lease event was not taken", "lease", l.id, "error", err)
		}
	}
}
