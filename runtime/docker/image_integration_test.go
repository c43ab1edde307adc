//go:build integration

package docker

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/spec"
)

func newKey(t *testing.T) job.Key {
	t.Helper()
	var k job.Key
	if _, err := rand.Read(k.Lease[:]); err != nil {
		t.Fatal(err)
	}
	return k
}

func remove(t *testing.T, e *Engine, k job.Key) {
	t.Helper()
	if err := e.Remove(context.Background(), k); err != nil {
		t.Error(err)
	}
}

// noise is a file that does not compress, so that a pull takes as long as its bytes.
func noise(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *fixture) push(t *testing.T, size int, cfg runtimetest.ImageConfig) spec.ImageRef {
	t.Helper()
	ref, err := f.reg.Push("test/"+f.peer()+"-noise", map[string][]byte{"noise": noise(t, size)}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestPull_Stalls_FailsAtTheFloor(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.e.jobs.images.window = time.Second
	f.reg.SetFaults(runtimetest.Faults{Stall: 1 << 20})
	p := f.plan()
	p.Image, p.FloorRate = f.push(t, 4<<20, runtimetest.ImageConfig{}), 256_000
	start := time.Now()
	pulling := false
	o := f.until(t, job.Want{Phase: job.WantRunning, Plan: p}, func(o job.Observed) bool {
		pulling = pulling || o.State == job.Pulling && o.Progress.Total > 0
		return o.State == job.FailedState
	})
	if o.Code != market.CodeImageStalled || !pulling || time.Since(start) > 20*time.Second {
		t.Errorf("got %+v after %v, progress seen: %v", o, time.Since(start), pulling)
	}
}

func TestPull_Drips_FailsAtTheDeadline(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.reg.SetFaults(runtimetest.Faults{Drip: 100_000})
	p := f.plan()
	p.Image, p.Deadline = f.push(t, 8<<20, runtimetest.ImageConfig{}), time.Now().Add(2*time.Second)
	if o := f.until(t, job.Want{Phase: job.WantRunning, Plan: p},
		is(job.FailedState)); o.Code != market.CodeImageStalled {
		t.Errorf("got %+v", o)
	}
}

func TestPull_Unknown_IsNotFound(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan()
	p.Image.Manifest = "sha256:" + strings.Repeat("1", 64)
	if o := f.until(t, job.Want{Phase: job.WantRunning, Plan: p},
		is(job.FailedState)); o.Code != market.CodeImageNotFound {
		t.Errorf("got %+v", o)
	}
}

func TestPull_WrongConfig_IsRefused(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan()
	p.Image.Config = "sha256:" + strings.Repeat("1", 64)
	if o := f.until(t, job.Want{Phase: job.WantRunning, Plan: p},
		is(job.FailedState)); o.Code != market.CodeImageRefused {
		t.Errorf("got %+v", o)
	}
}

func TestPull_Gone_LeavesNoPull(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.reg.SetFaults(runtimetest.Faults{Stall: 1})
	p := f.plan()
	p.Image = f.push(t, 1<<20, runtimetest.ImageConfig{})
	f.until(t, job.Want{Phase: job.WantRunning, Plan: p}, func(o job.Observed) bool {
		return o.State == job.Pulling &&
			f.reg.BlobGets() > 0
	})
	f.until(t, job.Want{Phase: job.WantGone, Plan: p}, is(job.Absent))
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		f.e.jobs.images.mu.Lock()
		n := len(f.e.jobs.images.flights) + len(f.e.jobs.images.pulls)
		f.e.jobs.images.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the pull goes on")
		}
	}
}

func TestImage_WorkdirUnderProc_IsRefused(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{WorkingDir: "/proc/self/fd/8"})
	if o := f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan()},
		is(job.FailedState)); o.Code != market.CodeImageRefused {
		t.Errorf("got %+v", o)
	}
}

// TestImage_Unchanged runs what public images do: write outside /workspace, set LD_* and NVIDIA_*, declare volumes,
// name a user.
func TestImage_Unchanged(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{
		Env: []string{"LD_PRELOAD=/usr/lib/libjemalloc.so", "NVIDIA_VISIBLE_DEVICES=all", "KEPT=1"}, WorkingDir: "/srv",
		Volumes: []string{"/data"},
	})
	p := f.plan("write=/usr/lib/x:1", "write=/var/lib/dpkg/status:1", "write=/data/x:1", "write=/workspace/x:1",
		"write=rel:1", "cat=/srv/rel",
		"env=LD_PRELOAD", "env=NVIDIA_VISIBLE_DEVICES", "env=KEPT", "env=MINE")
	p.Spec.Env = map[string]string{"MINE": "2"}
	w := job.Want{Phase: job.WantRunning, Plan: p}
	f.until(t, w, is(job.Running))
	if o := f.until(t, w, is(job.Exited)); o.Exit != 0 {
		t.Errorf("exit %d: %s", o.Exit, f.logs(t))
	}
	want := "1LD_PRELOAD=/usr/lib/libjemalloc.so\nNVIDIA_VISIBLE_DEVICES=void\nKEPT=1\nMINE=2\n"
	if d := cmp.Diff(want, f.logs(t)); d != "" {
		t.Error(d)
	}
}

func TestImage_OwnUser_CanWriteWorkspace(t *testing.T) {
	for _, user := range []string{"user", "1234:1234"} {
		f := newFixture(t, runtimetest.ImageConfig{User: user})
		p := f.plan("write=/workspace/a/b:1", "cat=/workspace/a/b")
		w := job.Want{Phase: job.WantRunning, Plan: p}
		f.until(t, w, is(job.Running))
		if o := f.until(t, w, is(job.Exited)); o.Exit != 0 {
			t.Errorf("user %s: exit %d: %s", user, o.Exit, f.logs(t))
		}
	}
}

func TestImage_UnknownUser_IsStartCommand(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{User: "nobody-here"})
	if o := f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan("echo=x")},
		is(job.FailedState)); o.Code != market.CodeStartCommand {
		t.Errorf("got %+v", o)
	}
}

func TestMemory_AboveTheGrant_IsOOM(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan("memory=134217728", "echo=survived")
	p.RAM = 64 << 20
	w := job.Want{Phase: job.WantRunning, Plan: p}
	f.until(t, w, is(job.Running))
	if o := f.until(t, w, is(job.Exited)); !o.OOM || o.Exit != 137 || o.Code != market.CodeJobOOM {
		t.Errorf("got %+v", o)
	}
}

func TestContainer_RemovedByOthers_IsLost(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}
	o := f.until(t, w, is(job.Running))
	if err := f.e.jobs.api.ContainerRemove(t.Context(), o.ContainerID,
		container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if o := f.until(t, w, is(job.Exited)); o.Code != market.CodeContainerLost {
		t.Errorf("got %+v", o)
	}
}

func TestDoctor_ThisEngine_HasVersions(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	facts := f.e.Doctor(t.Context())
	t.Log(facts)
	names := map[string]string{}
	for _, x := range facts {
		names[x.Name] = x.Level
	}
	if names["engine"] != "ok" || names["runc"] == "" || names["runc"] == "fail" {
		t.Errorf("got %+v", facts)
	}
}
