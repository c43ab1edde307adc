package docker

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// attempt is one look at a key and what follows from it. Row and container are what is known of it now: every step
// keeps them up to date. Whoever uses it has the key's turn.
type attempt struct {
	*jobs
	key  job.Key
	want job.Want
	row  row
	c    *container.InspectResponse // nil: there is none
	note func(job.Observed)         // publishes what is seen while a step is under way
}

// step looks, does what is next, and looks again, until what is wanted holds or something else must happen first.
func (a *attempt) step(ctx context.Context) (job.Observed, error) {
	if err := a.load(ctx); err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	o, err := a.look(ctx)
	if err != nil || a.foreign() {
		return o, err
	}
	switch a.want.Phase {
	case job.WantGone:
		return a.gone(ctx)
	case job.WantPaused:
		if a.running() && !a.c.State.Paused {
			return a.pause(ctx, o)
		}
		return o, nil
	case job.WantRunning:
		return a.untilRunning(ctx)
	}
	return job.Observed{State: job.Unknown}, fmt.Errorf("unknown phase %d", a.want.Phase)
}

func (a *attempt) running() bool { return a.c != nil && a.c.State.Running }

func (a *attempt) load(ctx context.Context) (err error) {
	a.row, err = a.rows.load(ctx, a.key)
	return err
}

func (a *attempt) save(ctx context.Context) error {
	if err := a.rows.save(ctx, a.key, a.row); err != nil {
		return fmt.Errorf("save job row: %w", err)
	}
	return nil
}

// glance looks without a turn: an end that it sees may be newer than its row, and have a reason that nobody looked for.
func (a *attempt) glance(ctx context.Context) (job.Observed, error) {
	if err := a.load(ctx); err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	if err := a.refresh(ctx); err != nil {
		return silent(a.row), err
	}
	return a.see(), nil
}

// refresh asks for the container as it is now. One that is being removed is none any more.
func (a *attempt) refresh(ctx context.Context) error {
	c, err := a.inspect(ctx, a.name(a.key, "job"))
	if err != nil {
		return engineError("look at job", err)
	}
	if a.c = c; c != nil && c.State.Status == "removing" {
		a.c = nil
	}
	return nil
}

// look says what there is now, with the reason of an end.
func (a *attempt) look(ctx context.Context) (job.Observed, error) {
	if err := a.refresh(ctx); err != nil {
		return silent(a.row), err
	}
	if a.foreign() {
		a.log.Error("A container has a job's name but not its id", "name", a.name(a.key, "job"), "id", a.c.ID)
	}
	return a.seen(ctx)
}

// seen says what the last inspection showed. It is the only way to say that a job has ended: who ended one that nobody
// here ended is looked for once. The engine remembers signals that came through it; otherwise it may have been the job
// itself, the rig's owner, or the rig for want of memory.
func (a *attempt) seen(ctx context.Context) (job.Observed, error) {
	if a.c != nil && !a.foreign() && a.row.unexplained(a.c) {
		a.row.Killed = market.CodeJobKilled
		if a.killed(ctx, a.c) {
			a.row.Killed = market.CodeProviderStop
		}
		if err := a.save(ctx); err != nil {
			return silent(a.row), err
		}
	}
	return a.see(), nil
}

// foreign reports that someone made a container of our name. It is never touched.
func (a *attempt) foreign() bool {
	return a.c != nil && (a.row.Handle.JobID != "" && a.c.ID != a.row.Handle.JobID ||
		a.c.Config.Labels[labelLease] != a.key.Lease.String())
}

// see turns the last inspection into what is seen.
func (a *attempt) see() job.Observed {
	if a.foreign() {
		return job.Observed{State: job.Exited, Exit: -1, Code: market.CodeContainerLost,
			Detail: "another container has its name"}
	}
	return see(a.row, a.c)
}

// failed remembers that preparation failed: attempts are the lease's business, never the engine's.
func (a *attempt) failed(ctx context.Context, me *market.Error) (job.Observed, error) {
	if err := a.load(ctx); err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	a.row.Code, a.row.Detail = me.Code, cut(me.Detail)
	if a.row.Detail == "" && me.Err != nil {
		a.row.Detail = spoken(me.Err)
	}
	if err := a.save(ctx); err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	if err := a.refresh(ctx); err == nil && a.running() && !a.foreign() {
		if err := a.end(ctx, a.c); err != nil {
			a.log.Warn("A job that failed its start was not killed", "lease", a.key.Lease, "error", err)
		}
	}
	return see(a.row, nil), nil
}

// condemn ends a job that runs, for a cause that is saved first. One that ended meanwhile had its own.
func (a *attempt) condemn(ctx context.Context, code market.Code, detail string) (job.Observed, error) {
	if o, err := a.look(ctx); err != nil || !a.running() || a.foreign() {
		return o, err
	}
	a.row.EndCode, a.row.Detail = code, detail
	if err := a.save(ctx); err != nil {
		return a.see(), err
	}
	if err := a.end(ctx, a.c); err != nil {
		return a.see(), engineError("kill job", err)
	}
	return a.look(ctx)
}

func (a *attempt) pause(ctx context.Context, o job.Observed) (job.Observed, error) {
	if err := a.freeze(ctx, a.c.ID); err != nil {
		return o, engineError("pause job", err)
	}
	return a.look(ctx)
}
