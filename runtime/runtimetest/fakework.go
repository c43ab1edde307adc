package runtimetest

import (
	"archive/tar"
	"context"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
)

// MissingImage is the name of an image that no Fake has.
const MissingImage = "missing"

// result is what a job that works leaves in each of its output paths, and hello its log.
const (
	result = "result"
	hello  = "hello\n"
)

// LogFunc plays a job's log.
type LogFunc func(ctx context.Context, from uint64, f func(job.LogRecord) error) (job.LogEnd, error)

// faults are what tests change about a Fake's jobs; the Fake's lock guards them.
type faults struct {
	works bool          // jobs work for a time instead of running their command
	work  time.Duration // of unfrozen time
	held  bool
	runs  int
	logs  LogFunc
	gone  error
	grown int // bytes of each output; 0: the result alone
}

// NewWorker returns a Fake whose jobs work for d of unfrozen time instead of running their command, say hello, leave a
// result in each output path and exit with 0. Such a job has no goroutine: it ends when somebody looks.
func NewWorker(d time.Duration) *Fake {
	f := NewFake()
	f.faults.works, f.faults.work = true, d
	return f
}

// SetWork changes how long jobs work, those that run included.
func (f *Fake) SetWork(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults.work = d
}

// Hold keeps new jobs from starting, or lets them start: a long preparation.
func (f *Fake) Hold(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults.held = on
}

// LoseOutputs makes the engine answer with err where it is asked for outputs; nil: it has them again.
func (f *Fake) LoseOutputs(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults.gone = err
}

// Grow makes each output of jobs that end from now on so many bytes larger.
func (f *Fake) Grow(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults.grown = bytes
}

// SetLogs plays this log in the place of each job's own.
func (f *Fake) SetLogs(logs LogFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults.logs = logs
}

// Started is how often a job was started in all.
func (f *Fake) Started() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults.runs
}

// Ran is the sum of the unfrozen time of all jobs that work and are there.
func (f *Fake) Ran() (sum time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.jobs {
		if j.created {
			sum += j.worked()
		}
	}
	return sum
}

// Jobs counts containers.
func (f *Fake) Jobs() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.jobs {
		if j.created {
			n++
		}
	}
	return n
}

// Adopt makes the engine have a job that works, as of before this start.
func (f *Fake) Adopt(k job.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.job(k)
	j.created, j.started, j.shown, j.since = true, true, true, time.Now()
}

// worked is the unfrozen time so far.
func (j *fakeJob) worked() time.Duration {
	if j.started && !j.over && !j.frozen {
		return j.ran + time.Since(j.since)
	}
	return j.ran
}

// freeze stops the work, or lets it go on.
func (j *fakeJob) freeze(on bool) {
	if j.f.faults.works && j.frozen != on {
		j.ran, j.since = j.worked(), time.Now()
	}
	j.frozen = on
}

// begin starts to work.
func (j *fakeJob) begin() {
	j.started, j.begun, j.since = true, time.Now(), time.Now()
	j.logs = []job.LogRecord{{Time: j.f.now(), Stream: 1, Data: []byte(hello)}}
}

// look ends a job whose work is done.
func (j *fakeJob) look() {
	if !j.f.faults.works || !j.started || j.over || j.frozen || j.worked() < j.f.faults.work {
		return
	}
	for _, o := range j.plan.Spec.Outputs {
		j.files[o.Path] = newFakeFile(tar.TypeReg, append([]byte(result), make([]byte, j.f.faults.grown)...), "")
	}
	j.end(0)
}

// end ends a job that works.
func (j *fakeJob) end(code int) {
	j.ran = j.worked()
	j.exit, j.over, j.frozen, j.ended = code, true, false, time.Now()
	j.f.cond.Broadcast()
}
