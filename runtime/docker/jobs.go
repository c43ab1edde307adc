package docker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
)

// joinFor is how long a call waits for whoever is at work for its key.
const joinFor = 400 * time.Millisecond

// life is what lasts until Close: its context ends then, and Close waits for all that was begun in it.
type life struct {
	ctx context.Context
	wg  sync.WaitGroup
}

// jobs makes each key's job what is wanted, one worker per key at a time.
type jobs struct {
	*life
	*containers
	images *images
	tools  *tools
	guards *guards
	disk   *disk
	rows   rows
	log    *slog.Logger
	rest   time.Duration // after a first try

	mu      sync.Mutex
	entries map[job.Key]*entry // of keys that were not removed
}

// entry is the life of one key in this process. Whoever has its turn may act for the key: nobody else does meanwhile.
type entry struct {
	users int  // who hold the entry; guarded by jobs.mu
	over  bool // the key was removed; guarded by jobs.mu

	mu     sync.Mutex
	phase  job.Phase // that the worker is for; 0: it is none of Reconcile's
	cancel context.CancelFunc
	done   chan struct{} // is closed when the turn ends; nil: nobody has it
	last   job.Observed
	err    error
	fresh  bool // last was not returned yet
}

// enter returns a key's entry, which stays until leave.
func (j *jobs) enter(k job.Key) *entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	en := j.entries[k]
	if en == nil {
		en = &entry{last: job.Observed{State: job.Unknown}}
		j.entries[k] = en
	}
	en.users++
	return en
}

// leave forgets the entry of a key that is removed, once nobody holds it.
func (j *jobs) leave(k job.Key, en *entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if en.users--; en.users == 0 && en.over {
		delete(j.entries, k)
	}
}

// note publishes what is seen while a worker is under way. An end is left to the worker's own answer: before that its
// reason is not known.
func (en *entry) note(o job.Observed) {
	if o.State == job.Exited || o.State == job.FailedState {
		return
	}
	en.mu.Lock()
	en.last = o
	en.mu.Unlock()
}

func (en *entry) lastSeen() job.Observed {
	en.mu.Lock()
	defer en.mu.Unlock()
	return en.last
}

// release ends the turn.
func (en *entry) release() {
	en.mu.Lock()
	defer en.mu.Unlock()
	close(en.done)
	en.done = nil
}

// turn waits for the turn and takes it; nothing ends it but release. interrupt: a worker that has it is told to end.
// Errors: ctx's.
func (en *entry) turn(ctx context.Context, interrupt bool) error {
	for {
		en.mu.Lock()
		if en.done == nil {
			en.cancel, en.done = func() {}, make(chan struct{})
			en.mu.Unlock()
			return nil
		}
		if interrupt {
			en.cancel()
		}
		done := en.done
		en.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Reconcile implements job.Runner: it starts or joins the key's worker, waits for it a moment, and says what is seen. A
// new phase ends a pull of the old one.
func (j *jobs) Reconcile(ctx context.Context, k job.Key, w job.Want) (job.Observed, error) {
	en := j.enter(k)
	defer j.leave(k, en)
	en.mu.Lock()
	if en.fresh && en.phase == w.Phase {
		en.fresh = false // a short job may be over already; that it ran must be seen once
		o, err := en.last, en.err
		en.mu.Unlock()
		return o, err
	}
	if en.done != nil && en.phase != w.Phase {
		en.cancel()
		done := en.done
		en.mu.Unlock()
		if !wait(ctx, done) {
			return en.lastSeen(), nil
		}
		en.mu.Lock()
	}
	if en.done == nil {
		a := attempt{jobs: j, key: k, want: w, note: en.note}
		wctx, cancel := context.WithCancel(j.ctx)
		en.phase, en.cancel, en.done, en.fresh = w.Phase, cancel, make(chan struct{}), false
		j.enter(k) // the worker's own hold
		j.wg.Go(func() {
			defer j.leave(k, en)
			defer cancel()
			a.work(wctx, en)
		})
	}
	done := en.done
	en.mu.Unlock()
	if !wait(ctx, done) {
		return en.lastSeen(), nil
	}
	en.mu.Lock()
	defer en.mu.Unlock()
	en.fresh = false
	return en.last, en.err
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

// work is the turn of one call of Reconcile.
func (a *attempt) work(ctx context.Context, en *entry) {
	o, err := a.step(ctx)
	if ctx.Err() != nil && err != nil { // the phase changed or the node ends: no statement about the job
		o, err = en.lastSeen(), nil
	}
	en.mu.Lock()
	en.last, en.err, en.fresh = o, err, true
	en.mu.Unlock()
	en.release()
}

// Observe implements job.Runner. An end is looked at by whoever has the key's turn: only then is the row as new as the
// container, and the reason known.
func (j *jobs) Observe(ctx context.Context, k job.Key) (job.Observed, error) {
	a := attempt{jobs: j, key: k}
	o, err := a.glance(ctx)
	if err != nil || o.State != job.Exited {
		return o, err
	}
	en := j.enter(k)
	defer j.leave(k, en)
	tctx, cancel := context.WithTimeout(ctx, joinFor)
	defer cancel()
	if en.turn(tctx, false) != nil {
		return en.lastSeen(), ctx.Err()
	}
	defer en.release()
	if err := a.load(ctx); err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	return a.look(ctx)
}

// Remove implements job.Runner: job, guard and volumes. The row stays, so that a removed job is never started again.
func (j *jobs) Remove(ctx context.Context, k job.Key) error {
	en := j.enter(k)
	defer j.leave(k, en)
	if err := en.turn(ctx, true); err != nil {
		return err
	}
	defer en.release()
	a := attempt{jobs: j, key: k}
	if err := a.load(ctx); err != nil {
		return err
	}
	a.row.Removed = true
	if err := a.save(ctx); err != nil {
		return err
	}
	if err := j.removeAll(ctx, k); err != nil {
		return err
	}
	j.disk.drop(k)
	if err := j.removeVolumes(ctx, k); err != nil {
		return engineError("remove volumes", err)
	}
	en.note(job.Observed{State: job.Absent})
	j.mu.Lock()
	en.over = true
	j.mu.Unlock()
	return nil
}

// List implements job.Runner.
func (j *jobs) List(ctx context.Context) ([]job.Found, error) { return j.list(ctx) }

// Alive tells without the engine whether the job's first process lives: pid and start time agree with the handle.
func (j *jobs) Alive(ctx context.Context, k job.Key) bool {
	r, err := j.rows.load(ctx, k)
	return err == nil && r.Handle.PID > 0 && !otherBoot(r) && pidStart(r.Handle.PID) == r.Handle.PIDStart &&
		r.Handle.PIDStart != 0
}
