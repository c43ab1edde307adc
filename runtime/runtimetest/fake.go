package runtimetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// Fake runs jobs in memory. It understands images of the test program: the command is TestJob or empty, the arguments
// are steps (see testjob). It lives as long as an engine would; node restarts keep using the same Fake.
type Fake struct {
	mu     sync.Mutex
	cond   *sync.Cond // anything changed
	jobs   map[job.Key]*fakeJob
	silent bool
	seq    int
	last   time.Time
	faults faults
	wg     sync.WaitGroup
}

var (
	_ job.Runner = (*Fake)(nil)
	_ job.Access = (*Fake)(nil)
)

// NewFake returns an empty Fake. Close it to end its jobs.
func NewFake() *Fake {
	f := &Fake{jobs: map[job.Key]*fakeJob{}}
	f.cond = sync.NewCond(&f.mu)
	return f
}

// Close kills all jobs and waits for them.
func (f *Fake) Close() error {
	f.mu.Lock()
	for _, j := range f.jobs {
		j.killed = true
	}
	f.cond.Broadcast()
	f.mu.Unlock()
	f.wg.Wait()
	return nil
}

// SetSilent makes every look an Unknown, as an engine that does not answer.
func (f *Fake) SetSilent(on bool) {
	f.mu.Lock()
	f.silent = on
	f.mu.Unlock()
}

// Kill ends a job from outside, as the kernel's memory killer (oom) or someone else does.
func (f *Fake) Kill(k job.Key, oom bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if j := f.jobs[k]; j != nil && j.started && !j.over {
		j.killed, j.oom = true, oom
		f.cond.Broadcast()
	}
}

func (f *Fake) job(k job.Key) *fakeJob {
	j := f.jobs[k]
	if j == nil {
		j = &fakeJob{f: f, key: k, files: map[string]*fakeFile{}}
		f.jobs[k] = j
	}
	return j
}

// Reconcile implements job.Runner.
func (f *Fake) Reconcile(ctx context.Context, k job.Key, w job.Want) (job.Observed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return job.Observed{State: job.Unknown}, err
	}
	if f.silent {
		return job.Observed{State: job.Unknown}, nil
	}
	j := f.job(k)
	j.look()
	switch w.Phase {
	case job.WantRunning:
		j.wantRunning(w)
	case job.WantPaused:
		j.freeze(j.frozen || j.started && !j.over)
	case job.WantGone:
		j.wantGone(w)
	default:
		return job.Observed{State: job.Unknown}, fmt.Errorf("unknown phase %d", w.Phase)
	}
	f.cond.Broadcast()
	o := j.see()
	if o.State == job.Exited && w.Phase == job.WantRunning && !j.shown && j.started {
		o.State, o.Exit, o.Code, o.Detail, o.OOM = job.Running, 0, "", "", false // that it ran is said once
	}
	j.shown = j.shown || o.State == job.Running
	return o, nil
}

// Observe implements job.Runner.
func (f *Fake) Observe(ctx context.Context, k job.Key) (job.Observed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.silent {
		return job.Observed{State: job.Unknown}, ctx.Err()
	}
	j := f.job(k)
	j.look()
	return j.see(), ctx.Err()
}

// Remove implements job.Runner.
func (f *Fake) Remove(ctx context.Context, k job.Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.job(k)
	if f.faults.works && j.started && !j.over {
		j.end(137)
	}
	j.killed, j.frozen = true, false
	f.cond.Broadcast()
	for j.started && !j.over {
		f.cond.Wait()
	}
	j.removed, j.created = true, false
	j.files = map[string]*fakeFile{}
	return ctx.Err()
}

// List implements job.Runner.
func (f *Fake) List(ctx context.Context) ([]job.Found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []job.Found
	for k, j := range f.jobs {
		j.look()
		if j.created {
			run := j.started && !j.over
			out = append(out, job.Found{Key: k, Role: "job", ContainerID: j.id, Running: run, Paused: run && j.frozen})
		}
	}
	return out, ctx.Err()
}

// fakeJob is one container. All fields are guarded by the Fake.
type fakeJob struct {
	f                                               *Fake
	key                                             job.Key
	plan                                            job.Plan
	id                                              string
	created, started, over, removed                 bool
	frozen, termed, killed, deaf, terms, shown, oom bool
	exit                                            int
	code, endCode                                   market.Code
	detail                                          string
	begun, ended                                    time.Time
	ran                                             time.Duration // worked before since
	since                                           time.Time
	files                                           map[string]*fakeFile
	logs                                            []job.LogRecord
}

func (j *fakeJob) see() job.Observed {
	o := job.Observed{ContainerID: j.id, Code: j.code, Detail: j.detail, Exit: j.exit, OOM: j.oom, Started: j.begun,
		Finished: j.ended}
	if j.id != "" {
		o.Handle = []byte(`{"v":1,"driver":"fake","job_id":` + strconv.Quote(j.id) + `}`)
	}
	for _, d := range j.plan.Devices {
		if j.started && d.Kind == "gpu" {
			o.Devices = append(o.Devices, d.UUID)
		}
	}
	switch {
	case j.code != "" && !j.started:
		o.State = job.FailedState
	case j.removed || !j.created:
		o.State = job.Absent
	case j.over:
		o.State, o.Code = job.Exited, j.endCode
		if j.oom {
			o.Code = market.CodeJobOOM
		}
	case !j.started:
		o.State = job.Created
	case j.frozen:
		o.State = job.PausedState
	default:
		o.State = job.Running
	}
	return o
}

func (j *fakeJob) wantRunning(w job.Want) {
	if j.removed || j.over || j.code != "" {
		return
	}
	if j.started {
		j.freeze(false)
		return
	}
	if w.Plan.Image.Ref == MissingImage {
		j.code, j.detail = "image-not-found", "no such image"
		return
	}
	j.plan = w.Plan
	late := !w.Plan.Deadline.IsZero() && time.Now().After(w.Plan.Deadline)
	needs := len(w.Plan.Spec.Inputs) > 0
	switch {
	case late && !j.created:
		j.code, j.detail = market.CodeImageStalled, "the preparation time is used up"
		return
	case late && needs:
		j.code, j.detail = market.CodeInputStalled, "the preparation time is used up"
		return
	}
	if !j.created {
		j.created = true
		j.f.seq++
		j.id = fmt.Sprintf("fake-%d", j.f.seq)
	}
	if needs && !w.InputsReady || j.f.faults.held {
		return
	}
	if j.f.faults.works {
		j.f.faults.runs++
		j.begin()
		return
	}
	argv := append([]string(nil), w.Plan.Spec.Command...)
	if len(argv) == 0 {
		argv = []string{TestJob}
	}
	if argv[0] != TestJob {
		j.code, j.detail = market.CodeStartCommand, "command not found: "+argv[0]
		return
	}
	j.started, j.begun = true, time.Now()
	j.f.faults.runs++
	steps := append(argv[1:], w.Plan.Spec.Args...)
	j.f.wg.Go(func() {
		code := (&fakeProc{j: j}).run(steps)
		j.f.mu.Lock()
		defer j.f.mu.Unlock()
		j.exit, j.over, j.frozen, j.ended = code, true, false, time.Now()
		j.f.cond.Broadcast()
	})
}

func (j *fakeJob) wantGone(w job.Want) {
	switch {
	case !j.created || j.over:
	case !j.started:
		j.created = false
	case j.f.faults.works:
		j.end(143)
	case w.Grace > 0 && !j.termed:
		j.termed, j.frozen = true, false
		j.killed = j.killed || !j.deaf && !j.terms // the usual program dies of it
		if j.killed {
			j.exit = 143
		}
	case w.Grace <= 0:
		j.killed, j.frozen = true, false
	}
}

// checkDisk ends a job that holds more than its grant, as an engine's node does at its next measurement.
func (j *fakeJob) checkDisk() {
	var used uint64
	for _, f := range j.files {
		used += uint64(len(f.data))
	}
	if grant := j.plan.Disk; grant > 0 && used > grant {
		j.killed, j.endCode, j.detail = true, market.CodeDiskExceeded,
			fmt.Sprintf("disk %d bytes granted, %d used at the peak", grant, used)
	}
}

// now is a strictly rising time, so that records have an order.
func (f *Fake) now() time.Time {
	t := time.Now()
	if !t.After(f.last) {
		t = f.last.Add(1)
	}
	f.last = t
	return t
}

// refuseNotFound is the answer for a key without container.
func refuseNotFound(op string) error {
	return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: op,
		Detail: "the job has no container",
		Hint:   "gpuai ps"}
}
