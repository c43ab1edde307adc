package runtimetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Runner is all that a subject of the suite offers.
type Runner interface {
	job.Runner
	job.Access
}

// Subject is what the suite runs on. Image: holds the test program as its entrypoint. Restart returns a new runner over
// the same engine and memory, as after a restart of the node; the old one is closed by it.
type Subject struct {
	Runner  Runner
	Image   spec.ImageRef
	Restart func() Runner
}

const patience = 60 * time.Second

// Conformance runs one subtest per promise of runtime/job. mk makes a fresh subject.
func Conformance(t *testing.T, mk func(t *testing.T) Subject) {
	for name, f := range map[string]func(*testing.T, *bench){
		"Reconcile_Repeated_RunsOnce":         runsOnce,
		"Reconcile_ShortJob_IsSeenRunning":    shortJob,
		"Exit_Code_IsTheJobs":                 exitCode,
		"Command_NotFound_IsStartCommand":     notFound,
		"Gone_WithGrace_TermsOnce":            termOnce,
		"Gone_NoGrace_Kills":                  killAtOnce,
		"Gone_BeforeStart_NothingIsLeft":      goneBeforeStart,
		"Paused_JobStandsStillAndExecRefused": paused,
		"Inputs_StagedBeforeStart_AreSeen":    inputs,
		"Outputs_AfterEnd_HaveTheirHash":      outputs,
		"Outputs_HostileLink_IsSkipped":       hostileOutputs,
		"Outputs_EachNameBringsItsContent":    linkedOutputs,
		"Outputs_TimesAndModes_Survive":       datedOutputs,
		"Outputs_SkippedThings_AreNamed":      namedOutputs,
		"Inputs_TimesModesAndLinks_Survive":   datedInputs,
		"Restart_RunningJob_IsAdopted":        adopt,
		"Restart_EndedJob_NeverStartsAgain":   endedStaysEnded,
		"Remove_Repeated_IsNil":               removeTwice,
		"Logs_SinceAndFollow_LoseNothing":     logs,
		"Exec_StdinAndExitCode":               execCode,
		"Exec_Terminal_HasSize":               execTTY,
		"Deadline_Past_FailsPreparation":      deadline,
		"Disk_AboveTheGrant_IsDiskExceeded":   diskExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mk(t)
			b := &bench{t: t, s: s, r: s.Runner}
			b.k.Attempt = 1
			if _, err := rand.Read(b.k.Lease[:]); err != nil {
				t.Fatal(err)
			}
			var cancel context.CancelFunc
			b.ctx, cancel = context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			defer func() {
				if err := b.r.Remove(b.ctx, b.k); err != nil {
					t.Errorf("remove: %v", err)
				}
			}()
			f(t, b)
		})
	}
}

// bench is one key of one subject.
type bench struct {
	t   *testing.T
	s   Subject
	r   Runner
	k   job.Key
	ctx context.Context
}

func (b *bench) plan(steps ...string) job.Plan {
	return job.Plan{
		Spec: spec.Spec{Args: steps}, Image: b.s.Image, CPUMilli: 500, RAM: 256 << 20, Shm: 16 << 20,
		Egress:   market.EgressNone,
		Deadline: time.Now().Add(patience),
	}
}

// until reconciles until the state is one of want.
func (b *bench) until(w job.Want, want ...job.State) job.Observed {
	b.t.Helper()
	end := time.Now().Add(patience)
	for {
		o, err := b.r.Reconcile(b.ctx, b.k, w)
		if err != nil {
			b.t.Fatalf("reconcile: %v", err)
		}
		for _, s := range want {
			if o.State == s {
				return o
			}
		}
		if o.State == job.FailedState || time.Now().After(end) {
			b.t.Fatalf("state %d (%s: %s), want %v", o.State, o.Code, o.Detail, want)
		}
		time.Sleep(5 * time.Millisecond) // as the node does between two looks
	}
}

func (b *bench) run(p job.Plan) job.Observed {
	b.t.Helper()
	return b.until(job.Want{Phase: job.WantRunning, Plan: p}, job.Running)
}

func (b *bench) finish(p job.Plan) job.Observed {
	b.t.Helper()
	b.run(p)
	return b.until(job.Want{Phase: job.WantRunning, Plan: p}, job.Exited)
}

// text reads all logs up to now.
func (b *bench) text() string {
	b.t.Helper()
	var sb strings.Builder
	_, err := b.r.Logs(b.ctx, b.k, 0, false, func(r job.LogRecord) error { sb.Write(r.Data); return nil })
	if err != nil {
		b.t.Fatalf("logs: %v", err)
	}
	return sb.String()
}

// line waits until the logs hold a line.
func (b *bench) line(want string) {
	b.t.Helper()
	errSeen := errors.New("seen")
	_, err := b.r.Logs(b.ctx, b.k, 0, true, func(r job.LogRecord) error {
		if strings.Contains(string(r.Data), want) {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) {
		b.t.Fatalf("no line %q: %v", want, err)
	}
}

func runsOnce(t *testing.T, b *bench) {
	p := b.plan("echo=hello", "forever")
	first := b.run(p)
	for range 3 {
		if o := b.run(p); o.ContainerID != first.ContainerID || o.State != job.Running {
			t.Fatalf("repeated call: %+v", o)
		}
	}
	b.line("hello")
	if n := strings.Count(b.text(), "hello"); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	if len(first.Handle) == 0 {
		t.Error("no handle")
	}
	found, err := b.r.List(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, f := range found {
		if f.Key == b.k && f.Role == "job" && f.Running {
			ours++
		}
	}
	if ours != 1 {
		t.Errorf("listed %d times in %+v", ours, found)
	}
}

func shortJob(t *testing.T, b *bench) {
	if o := b.finish(b.plan("echo=x")); o.Exit != 0 || o.Code != "" || o.State != job.Exited {
		t.Errorf("got %+v", o)
	}
}

func exitCode(t *testing.T, b *bench) {
	if o := b.finish(b.plan("exit=7")); o.Exit != 7 || o.OOM {
		t.Errorf("got %+v", o)
	}
}

func notFound(t *testing.T, b *bench) {
	p := b.plan()
	p.Spec.Command = []string{"trian.py"}
	end := time.Now().Add(patience)
	for time.Now().Before(end) {
		o, err := b.r.Reconcile(b.ctx, b.k, job.Want{Phase: job.WantRunning, Plan: p})
		if err != nil {
			t.Fatal(err)
		}
		if o.State == job.FailedState {
			if o.Code != market.CodeStartCommand || !strings.Contains(o.Detail, "trian.py") {
				t.Errorf("got %q, %q", o.Code, o.Detail)
			}
			return
		}
	}
	t.Fatal("never failed")
}

func termOnce(t *testing.T, b *bench) {
	p := b.plan("term=9")
	b.run(p)
	b.line("ready")
	o := b.until(job.Want{Phase: job.WantGone, Plan: p, Grace: patience}, job.Exited)
	if o.Exit != 9 {
		t.Errorf("exit %d, want 9", o.Exit)
	}
	if n := strings.Count(b.text(), "terminated"); n != 1 {
		t.Errorf("%d signals, want 1", n)
	}
}

func killAtOnce(t *testing.T, b *bench) {
	p := b.plan("deaf", "forever")
	b.run(p)
	b.line("ready")
	if o, err := b.r.Reconcile(b.ctx, b.k, job.Want{Phase: job.WantGone, Plan: p, Grace: patience}); err != nil ||
		o.State == job.Exited {
		t.Fatalf("deaf job: %+v, %v", o, err)
	}
	if o := b.until(job.Want{Phase: job.WantGone, Plan: p}, job.Exited); o.Exit != 137 {
		t.Errorf("exit %d, want 137", o.Exit)
	}
}

func goneBeforeStart(t *testing.T, b *bench) {
	p := b.plan("forever")
	p.Spec.Inputs = []spec.Input{{To: "/workspace/in"}}
	b.until(job.Want{Phase: job.WantRunning, Plan: p}, job.Created)
	b.until(job.Want{Phase: job.WantGone, Plan: p}, job.Absent)
}

func paused(t *testing.T, b *bench) {
	p := b.plan("ticks")
	b.run(p)
	b.line("tick 1")
	b.until(job.Want{Phase: job.WantPaused, Plan: p}, job.PausedState)
	before := b.text()
	var no *market.Refusal
	if _, err := b.r.Exec(b.ctx, b.k, job.ExecSpec{Argv: []string{TestJob}}); !errors.As(err, &no) ||
		no.Code != market.CodePaused {
		t.Errorf("exec while paused: %v", err)
	}
	time.Sleep(100 * time.Millisecond) // nothing must happen in this time
	if after := b.text(); after != before {
		t.Errorf("a paused job wrote %q", strings.TrimPrefix(after, before))
	}
	b.run(p)
	b.until(job.Want{Phase: job.WantPaused, Plan: p}, job.PausedState)
	if o := b.until(job.Want{Phase: job.WantGone, Plan: p}, job.Exited); o.Exit != 137 {
		t.Errorf("exit %d, want 137", o.Exit)
	}
}

// stage puts one file into the created container.
func (b *bench) stage(name, text string, limit uint64) (spec.Manifest, error) {
	b.t.Helper()
	dir := b.t.TempDir()
	if err := os.WriteFile(dir+"/f", []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	var tar bytes.Buffer
	want, err := spec.Pack(&tar, []spec.Source{{From: dir + "/f", To: "/workspace/" + name}})
	if err != nil {
		b.t.Fatal(err)
	}
	fs, err := b.r.Files(b.ctx, b.k)
	if err != nil {
		b.t.Fatal(err)
	}
	got, err := fs.PutInputs(b.ctx, &tar, limit)
	if err == nil && got.ID() != want.ID() {
		b.t.Errorf("manifest %+v, want %+v", got, want)
	}
	return got, err
}

func inputs(t *testing.T, b *bench) {
	p := b.plan("cat=/workspace/in/a.txt")
	p.Spec.Inputs = []spec.Input{{To: "/workspace/in/a.txt"}}
	w := job.Want{Phase: job.WantRunning, Plan: p}
	b.until(w, job.Created)
	var big *market.Error
	if _, err := b.stage("in/a.txt", "too long", 3); !errors.As(err, &big) || big.Code != market.CodeInputTooBig {
		t.Errorf("above the limit: %v", err)
	}
	if o := b.until(w, job.Created); o.State != job.Created {
		t.Fatalf("started without inputs: %+v", o)
	}
	if _, err := b.stage("in/a.txt", "hello input", 1<<20); err != nil {
		t.Fatal(err)
	}
	w.InputsReady = true
	b.until(w, job.Running)
	b.until(w, job.Exited)
	if got := b.text(); got != "hello input" {
		t.Errorf("the job read %q", got)
	}
}

// outputsOf receives outputs into a directory.
func (b *bench) outputsOf(paths ...string) (spec.Manifest, string) {
	b.t.Helper()
	fs, err := b.r.Files(b.ctx, b.k)
	if err != nil {
		b.t.Fatal(err)
	}
	var buf bytes.Buffer
	m, err := fs.GetOutputs(b.ctx, paths, &buf)
	if err != nil {
		b.t.Fatalf("outputs: %v", err)
	}
	again, err := fs.GetOutputs(b.ctx, paths, io.Discard)
	if err != nil || again.ID() != m.ID() {
		b.t.Errorf("second read: %+v, %v; want %+v", again, err, m)
	}
	dir := b.t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	defer root.Close()
	got, err := spec.Unpack(&buf, root, spec.Limits{Total: 1 << 20})
	if err != nil {
		b.t.Fatalf("unpack: %v", err)
	}
	if got.ID() != m.ID() {
		b.t.Errorf("received %+v, sent %+v", got, m)
	}
	return m, dir
}

func outputs(t *testing.T, b *bench) {
	b.finish(b.plan("write=/workspace/out/a/b.txt:result", "write=/workspace/other.txt:private",
		"write=/outside.txt:x"))
	for _, paths := range [][]string{{"/workspace/out"}, {"/workspace/out", "/workspace/none"},
		{"/workspace/out/a/b.txt"}} {
		m, dir := b.outputsOf(paths...)
		raw, err := os.ReadFile(dir + "/out/a/b.txt")
		if err != nil || string(raw) != "result" {
			t.Errorf("%v: read %q, %v; manifest %+v", paths, raw, err, m)
		}
		if m.Size() != uint64(len("result")) {
			t.Errorf("%v: brought %+v", paths, m.Entries)
		}
	}
	if m, _ := b.outputsOf("/workspace/none"); len(m.Entries) != 0 {
		t.Errorf("a missing path brought %+v", m.Entries)
	}
}

func adopt(t *testing.T, b *bench) {
	p := b.plan("echo=hello", "forever")
	first := b.run(p)
	b.r = b.s.Restart()
	second := b.run(p)
	if second.ContainerID != first.ContainerID || !bytes.Equal(second.Handle, first.Handle) {
		t.Errorf("adopted %+v, want %+v", second, first)
	}
	b.line("hello")
	if n := strings.Count(b.text(), "hello"); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

func endedStaysEnded(t *testing.T, b *bench) {
	p := b.plan("echo=hello", "exit=3")
	b.finish(p)
	b.r = b.s.Restart()
	if o := b.until(job.Want{Phase: job.WantRunning, Plan: p}, job.Exited); o.Exit != 3 {
		t.Errorf("exit %d, want 3", o.Exit)
	}
	if n := strings.Count(b.text(), "hello"); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

func removeTwice(t *testing.T, b *bench) {
	p := b.plan("forever")
	b.run(p)
	for range 2 {
		if err := b.r.Remove(b.ctx, b.k); err != nil {
			t.Fatal(err)
		}
	}
	o, err := b.r.Observe(b.ctx, b.k)
	if err != nil || o.State != job.Absent {
		t.Errorf("after remove: %+v, %v", o, err)
	}
	if o, err := b.r.Reconcile(b.ctx, b.k, job.Want{Phase: job.WantRunning, Plan: p}); err != nil ||
		o.State == job.Running {
		t.Errorf("a removed job came back: %+v, %v", o, err)
	}
}

func logs(t *testing.T, b *bench) {
	p := b.plan("echo=one", "err=two", "sleep=100ms", "echo=three")
	b.run(p)
	var recs []job.LogRecord
	end, err := b.r.Logs(b.ctx, b.k, 0, true, func(r job.LogRecord) error { recs = append(recs, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	byStream, next := map[uint8]string{}, uint64(0)
	for _, r := range recs {
		byStream[r.Stream] += string(r.Data)
		if r.Offset != next {
			t.Errorf("%d records: one at %d, want %d", len(recs), r.Offset, next)
		}
		next = r.Next()
	}
	if byStream[1] != "one\nthree\n" || byStream[2] != "two\n" {
		t.Fatalf("got %q", byStream)
	}
	if want := (job.LogEnd{Total: 14, Over: true, Whole: true}); end != want {
		t.Errorf("the end is %+v", end)
	}
	for from, want := range map[uint64]string{8: "three\n", 10: "ree\n", 14: ""} {
		var rest string
		end, err := b.r.Logs(b.ctx, b.k, from, true, func(r job.LogRecord) error { rest += string(r.Data); return nil })
		if err != nil || rest != want || end.Total != 14 || !end.Whole {
			t.Errorf("from %d on: %q, %+v, %v", from, rest, end, err)
		}
	}
}

// exec runs a command and returns what it wrote.
func (b *bench) exec(s job.ExecSpec, in string) (string, int) {
	b.t.Helper()
	x, err := b.r.Exec(b.ctx, b.k, s)
	if err != nil {
		b.t.Fatalf("exec: %v", err)
	}
	defer x.Close()
	if _, err := io.WriteString(x, in); err != nil {
		b.t.Fatalf("exec: %v", err)
	}
	if !s.TTY {
		if err := x.CloseWrite(); err != nil {
			b.t.Fatalf("exec: %v", err)
		}
	}
	var out strings.Builder
	code, err := x.Output(func(_ uint8, d []byte) error { out.Write(d); return nil })
	if err != nil {
		b.t.Fatalf("exec: %v", err)
	}
	return out.String(), code
}

func execCode(t *testing.T, b *bench) {
	b.run(b.plan("forever"))
	if out, code := b.exec(job.ExecSpec{Argv: []string{TestJob, "stdin", "exit=5"}}, "typed"); out != "typed" ||
		code != 5 {
		t.Errorf("got %q, exit %d", out, code)
	}
	if _, code := b.exec(job.ExecSpec{Argv: []string{"/no/such"}}, ""); code != 127 {
		t.Errorf("missing command: exit %d, want 127", code)
	}
}

func execTTY(t *testing.T, b *bench) {
	b.run(b.plan("forever"))
	out, code := b.exec(job.ExecSpec{Argv: []string{TestJob, "size", "line"}, TTY: true, Cols: 101, Rows: 33}, "abc\n")
	if !strings.Contains(out, "101x33") || !strings.Contains(out, "got abc") || code != 0 {
		t.Errorf("got %q, exit %d", out, code)
	}
}
