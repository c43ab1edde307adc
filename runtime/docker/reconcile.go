package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// entry is the life of one key in this process: at most one worker acts for it.
type entry struct {
	mu     sync.Mutex // held by whoever acts
	now    sync.Mutex // guards what follows
	phase  job.Phase
	cancel context.CancelFunc
	done   chan struct{} // of the running worker; nil: none
	last   job.Observed
	err    error
	fresh  bool // last was not returned yet
}

func (e *Engine) entry(k job.Key) *entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	en := e.jobs[k]
	if en == nil {
		en = &entry{last: job.Observed{State: job.Unknown}}
		e.jobs[k] = en
	}
	return en
}

// note publishes what is seen while a worker is under way. An end is left to the worker's own answer: before that its
// reason is not known.
func (en *entry) note(o job.Observed) {
	if o.State == job.Exited || o.State == job.FailedState {
		return
	}
	en.now.Lock()
	en.last = o
	en.now.Unlock()
}

// Reconcile implements job.Runner: it starts or joins the key's worker, waits for it a moment, and says what is seen. A
// new phase ends a pull of the old one.
func (e *Engine) Reconcile(ctx context.Context, k job.Key, w job.Want) (job.Observed, error) {
	en := e.entry(k)
	en.now.Lock()
	if en.fresh && en.phase == w.Phase {
		en.fresh = false // a short job may be over already; that it ran must be seen once
		o, err := en.last, en.err
		en.now.Unlock()
		return o, err
	}
	if en.done != nil && en.phase != w.Phase {
		en.cancel()
		done := en.done
		en.now.Unlock()
		if !wait(ctx, done) {
			return e.lastOf(en), nil
		}
		en.now.Lock()
	}
	if en.done == nil {
		wctx, cancel := context.WithCancel(e.ctx)
		en.phase, en.cancel, en.done, en.fresh = w.Phase, cancel, make(chan struct{}), false
		e.wg.Go(func() { e.work(wctx, k, en, w) })
	}
	done := en.done
	en.now.Unlock()
	if !wait(ctx, done) {
		return e.lastOf(en), nil
	}
	en.now.Lock()
	defer en.now.Unlock()
	en.fresh = false
	return en.last, en.err
}

func (e *Engine) lastOf(en *entry) job.Observed {
	en.now.Lock()
	defer en.now.Unlock()
	return en.last
}

func wait(ctx context.Context, done <-chan struct{}) bool {
	t := time.NewTimer(joinFor)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

func (e *Engine) work(ctx context.Context, k job.Key, en *entry, w job.Want) {
	en.mu.Lock()
	o, err := e.step(ctx, k, w, en.note)
	en.mu.Unlock()
	en.now.Lock()
	defer en.now.Unlock()
	if ctx.Err() != nil && err != nil { // the phase changed or the node ends: no statement about the job
		o, err = en.last, nil
	}
	en.last, en.err, en.fresh = o, err, true
	en.cancel()
	close(en.done)
	en.done = nil
}

// Observe implements job.Runner.
func (e *Engine) Observe(ctx context.Context, k job.Key) (job.Observed, error) {
	r, err := e.load(ctx, k)
	if err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	c, err := e.inspect(ctx, e.name(k, "job"))
	if err != nil {
		return silent(r), engineError("look at job", err)
	}
	return e.see(k, r, c), nil
}

// Remove implements job.Runner: job, guard and volumes. The row stays, so that a removed job is never started again.
func (e *Engine) Remove(ctx context.Context, k job.Key) error {
	en := e.entry(k)
	en.now.Lock()
	if en.done != nil {
		en.cancel()
	}
	en.now.Unlock()
	en.mu.Lock()
	defer en.mu.Unlock()
	r, err := e.load(ctx, k)
	if err != nil {
		return err
	}
	r.Removed = true
	if err := e.save(ctx, k, r); err != nil {
		return fmt.Errorf("save job row: %w", err)
	}
	for _, role := range []string{"job", "guard"} {
		if err := e.removeContainer(ctx, e.name(k, role), k); err != nil {
			return engineError("remove "+role, err)
		}
	}
	e.drop(k)
	if err := e.removeVolumes(ctx, k); err != nil {
		return engineError("remove volumes", err)
	}
	en.note(job.Observed{State: job.Absent})
	return nil
}

// removeContainer removes a container of this name if it is this lease's.
func (e *Engine) removeContainer(ctx context.Context, name string, k job.Key) error {
	c, err := e.inspect(ctx, name)
	if err != nil || c == nil {
		return err
	}
	if c.Config == nil || c.Config.Labels[labelLease] != k.Lease.String() {
		return fmt.Errorf("container %s is not of this lease", name)
	}
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	err = e.api.ContainerRemove(cctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !notFound(err) {
		return err
	}
	return nil
}

// List implements job.Runner.
func (e *Engine) List(ctx context.Context) ([]job.Found, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	all, err := e.api.ContainerList(ctx,
		container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", "^/"+e.prefix()))})
	if err != nil {
		return nil, engineError("list containers", err)
	}
	var out []job.Found
	for _, c := range all {
		if len(c.Names) == 0 {
			continue
		}
		k, role, ok := e.keyOf(c.Names[0], c.Labels[labelLease])
		if !ok {
			continue
		}
		out = append(out, job.Found{
			Key: k, Role: role, ContainerID: c.ID, Running: c.State == "running" ||
				c.State == "paused", Paused: c.State == "paused",
		})
	}
	return out, nil
}

// inspect returns nil, nil if there is no such container.
func (e *Engine) inspect(ctx context.Context, name string) (*container.InspectResponse, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	c, err := e.api.ContainerInspect(ctx, name)
	switch {
	case notFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case c.ContainerJSONBase == nil || c.State == nil || c.Config == nil || c.HostConfig == nil:
		return nil, errors.New("the engine's answer is incomplete")
	}
	return &c, nil
}

// refuse is a short form.
func refuse(code string, kind market.Kind, detail string) error {
	return market.Refuse(code, kind, detail)
}
