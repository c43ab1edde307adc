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

// maxTries of what may pass: with their rests, fifteen seconds. The devices wait meanwhile, and nobody pays for that.
const (
	maxTries  = 5
	firstRest = time.Second
)

// restAfter is the rest after try n: 1, 2, 4, 8 s.
func (e *Engine) restAfter(n int) time.Duration { return e.rest << (n - 1) }

// untilRunning tries what is next until it is done, waits for somebody else, or can never be done: then the preparation
// has failed, with the engine's own words. An engine that does not answer has refused nothing, and what runs behind an
// open gate is not prepared any more.
func (e *Engine) untilRunning(ctx context.Context, k job.Key, w job.Want, r row, c *container.InspectResponse,
	note func(job.Observed)) (job.Observed, error) {
	for n := 1; ; n++ {
		o, err := e.wantRunning(ctx, k, w, r, c, note)
		if err == nil && o.State == job.Exited && o.Code == "" && o.Exit != 0 {
			err = e.neverBegan(ctx, k, o.ContainerID)
		}
		var me *market.Error
		if err == nil || ctx.Err() != nil || o.State == job.Unknown || !errors.As(err, &me) {
			return o, err
		}
		if me.Code != "engine-error" {
			return e.failed(ctx, k, me)
		}
		var lerr error
		if r, lerr = e.load(ctx, k); lerr != nil || r.Opened || !answered(err) {
			return o, err
		}
		last := &market.Error{Code: "engine-error", Kind: market.KindUnavailable, Op: me.Op,
			Detail: spoken(errors.Join(me.Err, detailOf(me))), Err: err, Hint: "try another provider"}
		if n == maxTries || refusedFor(err) || late(w.Plan, "engine-error") != nil {
			return e.failed(ctx, k, last)
		}
		e.log.Warn("A step of a job failed and is tried again", "lease", k.Lease, "step", me.Op, "try", n, "error", err)
		note(job.Observed{State: o.State, Detail: last.Detail, ContainerID: o.ContainerID,
			Progress: job.Progress{Phase: phaseOf(o.State)}})
		if err := pause(ctx, e.restAfter(n)); err != nil {
			return o, err
		}
		if c, err = e.inspect(ctx, e.name(k, "job")); err != nil {
			return silent(r), engineError("look at job", err)
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
func (e *Engine) neverBegan(ctx context.Context, k job.Key, id string) error {
	if r, err := e.load(ctx, k); err != nil || r.Opened {
		return nil
	}
	ctx, cancel := ask(ctx)
	defer cancel()
	var words []byte
	_ = e.readLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "5"},
		func(_ byte, b []byte) error {
			words = append(words, b[:min(len(b), 512)]...)
			return nil
		}) // without a log there are no words
	if err := errors.New(strings.TrimSpace(string(words))); said(initWords, err) != nil {
		return stepError(initWords, "start job", err)
	}
	return nil
}
