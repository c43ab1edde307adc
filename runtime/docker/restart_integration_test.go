//go:build integration

package docker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// TestExec_Closed_KillsTheCommand: engine execs outlive their client, ours must not.
func TestExec_Closed_KillsTheCommand(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	o := f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}, is(job.Running))
	x, err := f.e.Exec(t.Context(), f.k, job.ExecSpec{Argv: []string{runtimetest.TestJob, "echo=up", "forever"}})
	if err != nil {
		t.Fatal(err)
	}
	errUp := errors.New("up")
	if _, err := x.Output(func(uint8, []byte) error { return errUp }); !errors.Is(err, errUp) {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		top, err := f.e.jobs.api.ContainerTop(t.Context(), o.ContainerID, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(top.Processes) == 2 { // init and the job
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left: %v", top.Processes)
		}
	}
}

func TestForeign_SameName_IsNeverTouched(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}
	o := f.until(t, w, is(job.Running))
	if err := f.e.jobs.api.ContainerRemove(t.Context(), o.ContainerID,
		container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	made, err := f.e.jobs.api.ContainerCreate(t.Context(), &container.Config{Image: f.e.jobs.tools.ready.tools}, nil,
		nil, nil,
		f.e.jobs.name(f.k, "job"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = f.e.jobs.api.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true})
	}()
	for _, phase := range []job.Phase{job.WantRunning, job.WantGone} {
		w.Phase = phase
		if o := f.until(t, w, is(job.Exited)); o.Code != market.CodeContainerLost {
			t.Errorf("got %+v", o)
		}
	}
	if c, err := f.e.jobs.inspect(t.Context(), made.ID); err != nil || c == nil {
		t.Errorf("the other container is gone: %v", err)
	}
	if err := f.e.jobs.api.ContainerRemove(t.Context(), made.ID, container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
}

// TestStart_AnswerLost_IsNotRepeated plays a node that died after the engine's start and before the gate: the next one
// goes on from there.
func TestStart_AnswerLost_IsNotRepeated(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	mem := f.memory()
	p := f.plan("echo=once", "forever")
	p.Spec.Inputs = nil
	made, err := f.made(t, p)
	if err != nil {
		t.Fatal(err)
	}
	made.row.Start = true
	if err := made.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.e.jobs.api.ContainerStart(t.Context(), made.c.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	peer := f.peer()
	f.e = newEngine(t, peer, mem)
	if o := f.until(t, job.Want{Phase: job.WantRunning, Plan: p}, is(job.Running)); o.ContainerID != made.c.ID {
		t.Errorf("another container: %+v", o)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(f.logs(t), "once") &&
		time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if n := strings.Count(f.logs(t), "once"); n != 1 {
		t.Errorf("%d starts", n)
	}
}

// TestDockerRestart_JobsLiveOn restarts an engine of its own under a running job.
func TestDockerRestart_JobsLiveOn(t *testing.T) {
	runtimetest.NeedDocker(t) // a machine that has none cannot start one either
	dir := t.TempDir()
	ci := func(verb string) string {
		cmd := exec.Command("../../.ci/dockerd", verb)
		cmd.Env = append(os.Environ(), "GPUAI_DOCKERD_DIR="+dir)
		var out, words bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &words
		cmd.WaitDelay = time.Second // the daemon keeps the script's output open
		if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			t.Fatalf("%s: %v\n%s", verb, err, words.String())
		}
		return strings.TrimSpace(out.String())
	}
	host := ci("start")
	defer ci("clean")
	e, err := New(Config{Peer8: peerName(t), Host: host, AllowWeakRuntime: true}, runtimetest.NewMemory(),
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	f := &fixture{e: e, reg: runtimetest.StartRegistry(t), k: newKey(t)}
	f.img = runtimetest.PushTestJob(t, f.reg, runtimetest.BuildTestJob(t), "test/restart", runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("ticks")}
	before := f.until(t, w, is(job.Running))
	ci("restart")
	after := f.until(t, w, is(job.Running))
	if d := cmp.Diff(before.PID, after.PID); d != "" || before.ContainerID != after.ContainerID {
		t.Errorf("another job: %s %+v", d, after)
	}
	w.Phase = job.WantGone
	f.until(t, w, is(job.Exited))
	remove(t, e, f.k)
}
