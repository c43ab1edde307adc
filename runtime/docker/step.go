package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// step looks, does what is next, and looks again, until what is wanted holds or something else must happen first. The
// caller holds the key.
func (e *Engine) step(ctx context.Context, k job.Key, w job.Want, note func(job.Observed)) (job.Observed, error) {
	r, err := e.load(ctx, k)
	if err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	c, err := e.inspect(ctx, e.name(k, "job"))
	if err != nil {
		return silent(r), engineError("look at job", err)
	}
	if c != nil && r.Handle.JobID != "" && c.ID != r.Handle.JobID ||
		c != nil && c.Config.Labels[labelLease] != k.Lease.String() {
		// Someone made a container of our name: it is never touched.
		e.log.Error("A container has a job's name but not its id", "name", e.name(k, "job"), "id", c.ID)
		return job.Observed{State: job.Exited, Exit: -1, Code: "container-lost",
			Detail: "another container has its name"}, nil
	}
	if c != nil && r.unexplained(c) {
		if r, c, err = e.explain(ctx, k, r, c); err != nil {
			return silent(r), engineError("look at job", err)
		}
	}
	switch w.Phase {
	case job.WantGone:
		return e.wantGone(ctx, k, w, r, c)
	case job.WantPaused:
		if c != nil && c.State.Running && !c.State.Paused {
			return e.freeze(ctx, k, r, c)
		}
		return e.see(k, r, c), nil
	case job.WantRunning:
		return e.untilRunning(ctx, k, w, r, c, note)
	}
	return job.Observed{State: job.Unknown}, fmt.Errorf("unknown phase %d", w.Phase)
}

// failed remembers that preparation failed: attempts are the lease's business, never the engine's.
func (e *Engine) failed(ctx context.Context, k job.Key, me *market.Error) (job.Observed, error) {
	r, err := e.load(ctx, k)
	if err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	r.Code, r.Detail = me.Code, cut(me.Detail)
	if r.Detail == "" && me.Err != nil {
		r.Detail = spoken(me.Err)
	}
	if err := e.save(ctx, k, r); err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	if c, err := e.inspect(ctx, e.name(k, "job")); err == nil && c != nil && c.State.Running {
		if err := e.killJob(ctx, c); err != nil {
			e.log.Warn("A job that failed its start was not killed", "lease", k.Lease, "error", err)
		}
	}
	return e.see(k, r, nil), nil
}

func cut(s string) string {
	if len(s) > 256 {
		s = s[:256]
	}
	return strings.ToValidUTF8(strings.TrimSpace(s), "")
}

func (e *Engine) wantRunning(ctx context.Context, k job.Key, w job.Want, r row, c *container.InspectResponse,
	note func(job.Observed)) (job.Observed, error) {
	if r.Code != "" || r.Removed || c == nil && r.Start {
		return e.see(k, r, c), nil
	}
	// made, but this node ended before it was noted: nothing after the making is known to be done
	if c == nil || r.Handle.JobID == "" {
		var err error
		if c, r, err = e.create(ctx, k, w.Plan, r, note); err != nil {
			return e.unseen(r), err
		}
	}
	e.hold(k, w.Plan.Disk)
	o := e.see(k, r, c)
	switch o.State {
	case job.Created:
		if len(w.Plan.Spec.Inputs) > 0 && !w.InputsReady {
			return o, late(w.Plan, "input-stalled")
		}
		if err := late(w.Plan, "input-stalled"); err != nil && len(w.Plan.Spec.Inputs) > 0 {
			return o, err
		}
		note(job.Observed{State: job.Created, Progress: job.Progress{Phase: "start"}, ContainerID: c.ID})
		return e.start(ctx, k, w.Plan, r, c, note)
	case job.Gated:
		return e.open(ctx, k, w.Plan, r, c)
	case job.PausedState:
		if err := e.thaw(ctx, c.ID); err != nil {
			return o, engineError("resume job", err)
		}
		return e.look(ctx, k, r)
	case job.Running:
		if code, detail := e.overDisk(k, w.Plan.Disk); code != "" {
			r.EndCode, r.Detail = code, detail
			return e.endJob(ctx, k, r, c, o)
		}
		return e.checkGuard(ctx, k, r, c, o)
	case job.Exited:
		e.drop(k)
	}
	return o, nil
}

// unseen is what is said when a step before the container failed.
func (e *Engine) unseen(r row) job.Observed { return job.Observed{State: job.Absent, Code: r.Code} }

func (e *Engine) look(ctx context.Context, k job.Key, r row) (job.Observed, error) {
	c, err := e.inspect(ctx, e.name(k, "job"))
	if err != nil {
		return silent(r), engineError("look at job", err)
	}
	return e.see(k, r, c), nil
}

// late is the end of the preparation's budget.
func late(p job.Plan, code string) error {
	if p.Deadline.IsZero() || time.Now().Before(p.Deadline) {
		return nil
	}
	return &market.Error{Code: code, Kind: market.KindUnavailable, Op: "prepare job",
		Detail: "the preparation time is used up", Hint: "try again, or use a smaller image"}
}

// start saves the intent, then starts once. A container that runs although start failed is taken as started.
func (e *Engine) start(ctx context.Context, k job.Key, p job.Plan, r row, c *container.InspectResponse,
	note func(job.Observed)) (job.Observed, error) {
	if r.Handle.GuardID != "" {
		g, err := e.inspect(ctx, r.Handle.GuardID)
		if err != nil {
			return e.see(k, r, c), engineError("look at guard", err)
		}
		if g == nil || !g.State.Running || g.State.StartedAt != r.Handle.GuardStarted {
			return e.see(k, r, c), &market.Error{Code: "guard-lost", Kind: market.KindUnavailable, Op: "start job",
				Detail: "the network guard ended", Hint: "try again"}
		}
	}
	r.Start, r.Handle.BootID = true, bootID()
	if err := e.save(ctx, k, r); err != nil {
		return e.see(k, r, c), fmt.Errorf("save job row: %w", err)
	}
	sctx, cancel := context.WithTimeout(ctx, startTimeout)
	serr := e.api.ContainerStart(sctx, c.ID, container.StartOptions{})
	cancel()
	c2, err := e.inspect(ctx, c.ID)
	if err != nil || c2 == nil {
		return silent(r), engineError("look at job", errors.Join(serr, err))
	}
	if serr != nil && !c2.State.Running && c2.State.Status != "exited" || serr != nil && c2.State.Status == "exited" &&
		c2.State.ExitCode >= 126 {
		return e.see(k, r, c2), startFailure(serr)
	}
	note(e.see(k, r, c2))
	return e.open(ctx, k, p, r, c2)
}

// startFailure is final: what the engine refused to start once, it would refuse again.
func startFailure(err error) error {
	var me *market.Error
	if err = stepError(startWords, "start job", err); errors.As(err, &me) && me.Code != "engine-error" {
		return err
	}
	return &market.Error{Code: "start-failed", Kind: market.KindUnavailable, Op: "start job", Detail: spoken(err),
		Err: err, Hint: "try another provider"}
}

// wantGone lets no process live. A container that never started goes away; another stays for its files.
func (e *Engine) wantGone(ctx context.Context, k job.Key, w job.Want, r row,
	c *container.InspectResponse) (job.Observed, error) {
	if c == nil || c.State.Status == "created" {
		e.drop(k)
		for _, role := range []string{"job", "guard"} {
			if err := e.removeContainer(ctx, e.name(k, role), k); err != nil {
				return e.see(k, r, c), engineError("remove "+role, err)
			}
		}
		if r.Start && c == nil {
			return e.see(k, r, nil), nil
		}
		return job.Observed{State: job.Absent, Code: r.Code, Detail: r.Detail}, nil
	}
	if !c.State.Running && !c.State.Paused {
		e.drop(k)
		if err := e.stopGuard(ctx, k); err != nil {
			return e.see(k, r, c), engineError("stop guard", err)
		}
		return e.see(k, r, c), nil
	}
	e.hold(k, w.Plan.Disk)
	if r.EndCode == "" && w.Grace > 0 { // the grace is no time to fill the disk
		if code, detail := e.overDisk(k, w.Plan.Disk); code != "" {
			r.EndCode, r.Detail = code, detail
		}
	}
	if r.EndCode != "" {
		w.Grace = 0
	}
	now := time.Now()
	switch {
	case w.Grace > 0 && !r.Stop:
		r.Stop = true
		if err := e.save(ctx, k, r); err != nil {
			return e.see(k, r, c), fmt.Errorf("save job row: %w", err)
		}
		if err := e.kill(ctx, c.ID, stopSignal(w.Plan)); err != nil {
			return e.see(k, r, c), engineError("stop job", err)
		}
	case w.Grace <= 0 && now.Sub(r.LastKill) >= killEvery:
		if r.LastKill = now; r.FirstKill.IsZero() {
			r.FirstKill = now
		}
		if err := e.save(ctx, k, r); err != nil {
			return e.see(k, r, c), fmt.Errorf("save job row: %w", err)
		}
		if err := e.killJob(ctx, c); err != nil {
			return e.see(k, r, c), engineError("kill job", err)
		}
	default:
		return e.see(k, r, c), nil
	}
	if w.Grace <= 0 {
		if o, err := e.look(ctx, k, r); err == nil && o.State == job.Exited {
			return o, e.stopGuard(ctx, k)
		}
	}
	return e.look(ctx, k, r)
}

func stopSignal(p job.Plan) string {
	if p.Spec.StopSignal == "" {
		return "TERM"
	}
	return p.Spec.StopSignal
}

// kill of a process that is gone is done.
func (e *Engine) kill(ctx context.Context, id, signal string) error {
	ctx, cancel := ask(ctx)
	defer cancel()
	err := e.api.ContainerKill(ctx, id, "SIG"+signal)
	if err != nil && (notFound(err) || saysNotRunning(err)) {
		return nil
	}
	return err
}

func (e *Engine) freeze(ctx context.Context, k job.Key, r row, c *container.InspectResponse) (job.Observed, error) {
	fctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	if err := e.api.ContainerPause(fctx, c.ID); err != nil && !saysAlreadyPaused(err) {
		return e.see(k, r, c), engineError("pause job", err)
	}
	return e.look(ctx, k, r)
}

func (e *Engine) thaw(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	return e.api.ContainerUnpause(ctx, id)
}
