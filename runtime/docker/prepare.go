package docker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// prepare does what is next on the way to a running job, once.
func (a *attempt) prepare(ctx context.Context) (job.Observed, error) {
	if a.row.Code != "" || a.row.Removed || a.c == nil && a.row.Start {
		return a.seen(ctx)
	}
	// made, but this node ended before it was noted: nothing after the making is known to be done
	if a.c == nil || a.row.Handle.JobID == "" {
		if err := a.make(ctx); err != nil {
			return job.Observed{State: job.Absent, Code: a.row.Code}, err
		}
	}
	a.disk.hold(a.key, a.want.Plan.Disk)
	o, err := a.seen(ctx)
	if err != nil {
		return o, err
	}
	switch o.State {
	case job.Created:
		if len(a.want.Plan.Spec.Inputs) > 0 {
			if err := late(a.want.Plan, market.CodeInputStalled); err != nil || !a.want.InputsReady {
				return o, err
			}
		}
		a.note(job.Observed{State: job.Created, Progress: job.Progress{Phase: "start"}, ContainerID: a.c.ID})
		return a.begin(ctx)
	case job.Gated:
		return a.open(ctx)
	case job.PausedState:
		if err := a.thaw(ctx, a.c.ID); err != nil {
			return o, engineError("resume job", err)
		}
		return a.look(ctx)
	case job.Running:
		return a.guard(ctx, o)
	case job.Exited:
		a.disk.drop(a.key)
	}
	return o, nil
}

// make makes everything before the start: image, volumes, guard, container. Each is found by name if it is there
// already.
func (a *attempt) make(ctx context.Context) error {
	p := a.want.Plan
	if err := late(p, market.CodeImageStalled); err != nil {
		return err
	}
	a.note(job.Observed{State: job.Pulling, Progress: job.Progress{Phase: "pull", Total: p.Image.CompressedBytes}})
	prep, err := a.tools.prepare(ctx)
	if err != nil {
		return err
	}
	img, err := a.images.ensure(ctx, p, a.note)
	if err != nil {
		return err
	}
	f, err := a.tools.facts(ctx, p.Devices, prep)
	if err != nil {
		return err
	}
	network := "none"
	if word := egressWord(p.Egress); word != "" {
		g, err := a.guards.ensure(ctx, a.key, p, word, prep, f)
		if err != nil {
			return err
		}
		network = "container:" + g.ID
		a.row.Handle.GuardID, a.row.Handle.GuardStarted = g.ID, g.State.StartedAt
	}
	volumes := a.volumesOf(a.key, img)
	for _, v := range volumes {
		if err := a.makeVolume(ctx, v, map[string]string{labelLease: a.key.Lease.String()}); err != nil {
			return engineError("create volume", err)
		}
	}
	labels := leaseLabels(a.key)
	labels[labelSpec] = specHash(p)
	cfg, host := jobConfig(p, img, labels, network, prep.volume, volumes, f)
	if a.c, err = a.create(ctx, a.name(a.key, "job"), cfg, host); err != nil {
		return err
	}
	if err := a.ownWorkspace(ctx, a.c.ID, cfg.User); err != nil {
		return engineError("prepare workspace", err)
	}
	a.row.Handle.JobID, a.row.Handle.SpecHash, a.row.Handle.BootID = a.c.ID, labels[labelSpec], bootID()
	return a.save(ctx)
}

// late is the end of the preparation's budget.
func late(p job.Plan, code market.Code) error {
	if p.Deadline.IsZero() || time.Now().Before(p.Deadline) {
		return nil
	}
	return &market.Error{Code: code, Kind: market.KindUnavailable, Op: "prepare job",
		Detail: "the preparation time is used up", Hint: "try again, or use a smaller image"}
}

// begin saves the intent, then starts once. A container that runs although start failed is taken as started.
func (a *attempt) begin(ctx context.Context) (job.Observed, error) {
	if alive, err := a.guards.alive(ctx, a.row.Handle); err != nil {
		return a.see(), err
	} else if !alive {
		return a.see(), &market.Error{Code: market.CodeGuardLost, Kind: market.KindUnavailable, Op: "start job",
			Detail: "the network guard ended", Hint: "try again"}
	}
	a.row.Start, a.row.Handle.BootID = true, bootID()
	if err := a.save(ctx); err != nil {
		return a.see(), err
	}
	serr := a.start(ctx, a.c.ID)
	c, err := a.inspect(ctx, a.c.ID)
	if err != nil || c == nil {
		return silent(a.row), engineError("look at job", errors.Join(serr, err))
	}
	a.c = c
	if st := c.State; serr != nil && !st.Running && (st.Status != "exited" || st.ExitCode >= 126) {
		return a.see(), startFailure(serr)
	}
	a.note(a.see())
	return a.open(ctx)
}

// startFailure is final: what the engine refused to start once, it would refuse again.
func startFailure(err error) error {
	var me *market.Error
	if err = stepError(startWords, "start job", err); errors.As(err, &me) && me.Code != market.CodeEngineError {
		return err
	}
	return &market.Error{Code: market.CodeStartFailed, Kind: market.KindUnavailable, Op: "start job",
		Detail: spoken(err),
		Err:    err, Hint: "try another provider"}
}

// guard ends a job that runs and must not: its guard is gone, or the disk is full.
func (a *attempt) guard(ctx context.Context, o job.Observed) (job.Observed, error) {
	if code, detail := a.disk.over(a.key, a.want.Plan.Disk); code != "" {
		return a.condemn(ctx, code, detail)
	}
	alive, err := a.guards.alive(ctx, a.row.Handle)
	if err != nil {
		return silent(a.row), err
	}
	if !alive {
		return a.condemn(ctx, market.CodeGuardLost, "")
	}
	return o, nil
}

// maxTries of what may pass: with their rests, fifteen seconds. The devices wait meanwhile, and nobody pays for that.
const (
	maxTries  = 5
	firstRest = time.Second
)

// restAfter is the rest after try n: 1, 2, 4, 8 s for a first rest of one second.
func restAfter(first time.Duration, n int) time.Duration { return first << (n - 1) }

// untilRunning tries what is next until it is done, waits for somebody else, or can never be done: then the preparation
// has failed, with the engine's own words. An engine that does not answer has refused nothing, and what runs behind an
// open gate is not prepared any more.
func (a *attempt) untilRunning(ctx context.Context) (job.Observed, error) {
	for n := 1; ; n++ {
		o, err := a.prepare(ctx)
		if err == nil && o.State == job.Exited && o.Code == "" && o.Exit != 0 {
			err = a.neverBegan(ctx, o.ContainerID)
		}
		var me *market.Error
		if err == nil || ctx.Err() != nil || o.State == job.Unknown || !errors.As(err, &me) {
			return o, err
		}
		if me.Code != market.CodeEngineError {
			return a.failed(ctx, me)
		}
		if lerr := a.load(ctx); lerr != nil || a.row.Opened || !answered(err) {
			return o, err
		}
		last := &market.Error{Code: market.CodeEngineError, Kind: market.KindUnavailable, Op: me.Op,
			Detail: spoken(errors.Join(me.Err, detailOf(me))), Err: err, Hint: "try another provider"}
		if n == maxTries || refusedFor(err) || late(a.want.Plan, market.CodeEngineError) != nil {
			return a.failed(ctx, last)
		}
		a.log.Warn("A step of a job failed and is tried again", "lease", a.key.Lease, "step", me.Op, "try", n, "error",
			err)
		a.note(job.Observed{State: o.State, Detail: last.Detail, ContainerID: o.ContainerID,
			Progress: job.Progress{Phase: phaseOf(o.State)}})
		if err := pause(ctx, restAfter(a.rest, n)); err != nil {
			return o, err
		}
		if err := a.refresh(ctx); err != nil {
			return silent(a.row), err
		}
	}
}

// detailOf is an error of ours that carries no other.
func detailOf(me *market.Error) error {
	if me.Err != nil || me.Detail == "" {
		return nil
	}
	return errors.New(me.Detail)
}

// phaseOf is the step that comes after a state.
func phaseOf(s job.State) string {
	if s == job.Created || s == job.Gated {
		return "start"
	}
	return "create"
}

// neverBegan reads in a container's log why our init could not even be executed. Nil: it says nothing of that.
func (a *attempt) neverBegan(ctx context.Context, id string) error {
	if a.row.Opened {
		return nil
	}
	ctx, cancel := ask(ctx)
	defer cancel()
	var words []byte
	_ = a.readLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "5"},
		func(_ byte, b []byte) error {
			words = append(words, b[:min(len(b), 512)]...)
			return nil
		}) // without a log there are no words
	if err := errors.New(strings.TrimSpace(string(words))); said(initWords, err) != nil {
		return stepError(initWords, "start job", err)
	}
	return nil
}
