package provider

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/runtime/job"
)

// engineSilent is how long the engine may not answer before the meter closes at the last proof.
const engineSilent = 5 * time.Second

// aliver is a runner that can see a job's process without its engine.
type aliver interface {
	Alive(ctx context.Context, k job.Key) bool
}

// watch is the hook that turns what the engine shows of a job into events of its lease. silentSince belongs to the
// lease's loop.
type watch struct {
	silentSince time.Time  // the engine does not answer
	changed     await.Bell // what is seen is in another state
}

// saw turns what was seen into events; an illegal one (already known) changes nothing.
func (h *watch) saw(ctx context.Context, l *leaseRun, m market.Lease, o job.Observed) {
	l.mu.Lock()
	anew := o.State != l.seen.State
	l.seen = o
	l.mu.Unlock()
	if anew {
		h.changed.Ring()
	}
	boot := l.d.clock.BootMS()
	send := func(ev market.Event) {
		if err := l.tell(ctx, ev); err != nil && ctx.Err() == nil {
			l.d.log.Warn("Lease event was not taken", "lease", l.id, "error", err)
		}
	}
	if o.State != job.Unknown {
		h.silentSince = time.Time{}
	}
	switch o.State {
	case job.Unknown:
		// Unknown is never gone. The process seen alive is proof enough; without either, the work is not billed.
		if a, ok := l.d.runner.(aliver); ok && (m.State == market.Running || m.State == market.Stopping) &&
			a.Alive(ctx, l.key) {
			h.silentSince = time.Time{}
			send(market.JobSeen{BootMS: boot})
			return
		}
		if h.silentSince.IsZero() {
			h.silentSince = time.Now()
		}
		if time.Since(h.silentSince) > engineSilent {
			send(market.EngineSilent{})
		}
	case job.Running:
		if m.State == market.Preparing {
			if err := l.update(ctx, func(r *leaseRow) { r.Seen = l.quote.Devices }); err == nil {
				send(market.JobReady{BootMS: boot})
			}
			return
		}
		send(market.JobSeen{BootMS: boot})
	case job.FailedState:
		if m.State == market.Releasing { // it never ran
			l.released(ctx, m, send)
			return
		}
		send(market.PrepFailed{Code: o.Code, Detail: o.Detail})
	case job.Exited:
		if m.State == market.Releasing {
			l.released(ctx, m, send)
			return
		}
		send(market.JobExited{Exit: int32(o.Exit), OOM: o.OOM, BootMS: boot, Code: o.Code, Detail: o.Detail})
	case job.Absent:
		if m.State == market.Preparing {
			return // it is being made
		}
		if m.State == market.Releasing {
			l.released(ctx, m, send)
			return
		}
		send(market.JobGone{})
	}
}

func settled(p market.JobPhase, s job.State) bool {
	switch p {
	case market.WantRunning:
		return s == job.Running
	case market.WantPaused:
		return s == job.PausedState
	}
	return s == job.Exited || s == job.Absent
}
