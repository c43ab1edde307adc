// Package nodetest runs whole roles against each other: real p2p, on loopback or on a simulated network in virtual
// time, real stores, the in-memory ledger, and a fake engine.
//
// Invariants: nothing here is imported by the product. Concurrency: a World belongs to one test. Persistence: the
// test's own folder.
// Next: loopback_test.go, flow_sim_test.go.
package nodetest

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Engine is a fake job.Runner and job.Access: a job runs for Work of unfrozen time, then exits with Exit. Image
// "missing" does not exist.
type Engine struct {
	mu   sync.Mutex
	Work time.Duration
	Exit int
	Out  []byte // content of every output path
	jobs map[job.Key]*fakeJob
	held bool
	runs int
	logs LogFunc
	gone error // what GetOutputs says instead of outputs

	removed map[job.Key]bool
}

// LoseOutputs makes the engine answer with err where it is asked for outputs; nil: it has them again.
func (e *Engine) LoseOutputs(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = err
}

// Started is how often a job was started in all.
func (e *Engine) Started() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs
}

// Hold keeps new jobs from starting, or lets them start: a long preparation.
func (e *Engine) Hold(on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = on
}

// SetWork changes how long jobs run, those that run included.
func (e *Engine) SetWork(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Work = d
}

// Ran is the sum of the unfrozen time of all jobs that are there.
func (e *Engine) Ran() (sum time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, j := range e.jobs {
		sum += j.ran
		if j.state == job.Running {
			sum += time.Since(j.since)
		}
	}
	return sum
}

type fakeJob struct {
	state  job.State
	ran    time.Duration
	since  time.Time
	exit   int
	inputs bool
}

// NewEngine returns an engine whose jobs take work.
func NewEngine(work time.Duration) *Engine {
	return &Engine{Work: work, Out: []byte("result"), jobs: map[job.Key]*fakeJob{}, removed: map[job.Key]bool{}}
}

func (e *Engine) tick(j *fakeJob) {
	if j.state == job.Running && j.ran+time.Since(j.since) >= e.Work {
		j.state, j.exit = job.Exited, e.Exit
	}
}

// Reconcile does the next step of a job.
func (e *Engine) Reconcile(_ context.Context, k job.Key, w job.Want) (job.Observed, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.Plan.Image.Ref == "missing" {
		return job.Observed{State: job.FailedState, Code: market.CodeImageNotFound, Detail: "no such image"}, nil
	}
	j := e.jobs[k]
	if j == nil {
		if w.Phase != job.WantRunning || e.removed[k] { // what was removed is not made again
			return job.Observed{State: job.Absent}, nil
		}
		j = &fakeJob{state: job.Created}
		e.jobs[k] = j
		return e.seen(j), nil
	}
	e.tick(j)
	switch {
	case w.Phase == job.WantRunning && j.state == job.Created && w.InputsReady && !e.held:
		j.state, j.since, e.runs = job.Running, time.Now(), e.runs+1
	case w.Phase == job.WantRunning && j.state == job.PausedState:
		j.state, j.since = job.Running, time.Now()
	case w.Phase == job.WantPaused && j.state == job.Running:
		j.state, j.ran = job.PausedState, j.ran+time.Since(j.since)
	case w.Phase == job.WantGone && j.state != job.Exited:
		j.state, j.exit = job.Exited, 143
	}
	return e.seen(j), nil
}

func (e *Engine) seen(j *fakeJob) job.Observed { return job.Observed{State: j.state, Exit: j.exit} }

// Observe looks only.
func (e *Engine) Observe(_ context.Context, k job.Key) (job.Observed, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j := e.jobs[k]; j != nil {
		e.tick(j)
		return e.seen(j), nil
	}
	return job.Observed{State: job.Absent}, nil
}

// Remove forgets a job.
func (e *Engine) Remove(_ context.Context, k job.Key) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.jobs, k)
	e.removed[k] = true
	return nil
}

// List names what is there.
func (e *Engine) List(context.Context) (out []job.Found, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, j := range e.jobs {
		out = append(out, job.Found{Key: k, Role: "job", Running: j.state == job.Running,
			Paused: j.state == job.PausedState})
	}
	return out, nil
}

// Jobs counts containers.
func (e *Engine) Jobs() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.jobs)
}

// Exec is not part of the fake.
func (e *Engine) Exec(context.Context, job.Key, job.ExecSpec) (job.ExecStream, error) {
	return nil, errors.New("the fake engine runs no exec")
}

// LogFunc plays a job's log.
type LogFunc func(ctx context.Context, from uint64, f func(job.LogRecord) error) (job.LogEnd, error)

// SetLogs replaces the one line.
func (e *Engine) SetLogs(f LogFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.logs = f
}

// Logs sends one line and ends, or what SetLogs said.
func (e *Engine) Logs(ctx context.Context, k job.Key, from uint64, _ bool, f func(job.LogRecord) error) (job.LogEnd,
	error) {
	e.mu.Lock()
	logs, have := e.logs, e.jobs[k] != nil
	e.mu.Unlock()
	if logs != nil && !have {
		return job.LogEnd{}, market.Refuse(market.CodeNotFound, market.KindNotFound, "the job has no container")
	}
	if logs != nil {
		return logs(ctx, from, f)
	}
	const line = "hello\n"
	end := job.LogEnd{Total: uint64(len(line)), Over: true, Whole: true}
	if from >= end.Total {
		return end, nil
	}
	return end, f(job.LogRecord{Offset: from, Time: time.Now(), Stream: 1, Data: []byte(line[from:])})
}

// Files moves a fake tree.
func (e *Engine) Files(context.Context, job.Key) (job.FileStore, error) { return e, nil }

// PutInputs counts and drops what comes.
func (e *Engine) PutInputs(_ context.Context, r io.Reader, limit uint64) (spec.Manifest, error) {
	n, err := io.Copy(io.Discard, r)
	if err == nil && uint64(n) > limit+1<<20 {
		err = &market.Error{Code: market.CodeInputTooBig, Kind: market.KindInvalid, Op: "stage inputs"}
	}
	return spec.Manifest{}, err
}

// GetOutputs makes one file per path.
func (e *Engine) GetOutputs(_ context.Context, paths []string, w io.Writer) (spec.Manifest, error) {
	var m spec.Manifest
	e.mu.Lock()
	gone := e.gone
	e.mu.Unlock()
	if gone != nil {
		return m, gone
	}
	tw := tar.NewWriter(w)
	for _, p := range paths {
		name := p[len("/workspace/"):]
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(e.Out)), Typeflag: tar.TypeReg,
			Format: tar.FormatPAX}); err != nil {
			return m, err
		}
		if _, err := tw.Write(e.Out); err != nil {
			return m, err
		}
		h := sha256.Sum256(e.Out)
		m.Entries = append(m.Entries, spec.Entry{Path: name, Type: "file", Mode: 0o644, Size: uint64(len(e.Out)),
			SHA256: hex.EncodeToString(h[:])})
	}
	return m, tw.Close()
}
