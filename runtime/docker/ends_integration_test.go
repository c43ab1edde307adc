//go:build integration

package docker

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

func (f *fixture) ends(t *testing.T, p job.Plan) job.Observed {
	t.Helper()
	w := job.Want{Phase: job.WantRunning, Plan: p}
	f.until(t, w, is(job.Running))
	return f.until(t, w, is(job.Exited))
}

// TestOOM_OfAChild_IsNoEnd: the engine's flag stays for any process that was ever killed; the job's own end decides.
func TestOOM_OfAChild_IsNoEnd(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan("child=memory=134217728", "echo=survived")
	p.RAM = 64 << 20
	if o := f.ends(t, p); o.Code != "" || o.Exit != 0 || o.OOM || !strings.Contains(o.Detail, "memory") ||
		!strings.Contains(f.logs(t), "survived") {
		t.Errorf("got %+v: %s", o, f.logs(t))
	}
}

func TestOOM_OfAChildThatTheJobNeeded_IsTheEnd(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan("child=memory=134217728", "exit=3")
	p.RAM = 64 << 20
	if o := f.ends(t, p); o.Code != market.CodeJobOOM || o.Exit != 3 {
		t.Errorf("got %+v", o)
	}
}

// TestKilled_ByNobodyHere_IsNotTheCustomers covers what a rig's owner can do to a container, and what a job can do to
// itself.
func TestKilled_ByNobodyHere_IsNotTheCustomers(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	for name, c := range map[string]struct {
		steps []string
		do    func(t *testing.T, f *fixture, id string) error
		code  market.Code
		fault market.Fault
	}{
		"kill": {[]string{"forever"}, func(t *testing.T, f *fixture, id string) error {
			return f.e.jobs.api.ContainerKill(t.Context(), id, "KILL")
		}, market.CodeProviderStop, market.FaultProvider},
		"stop": {[]string{"forever"}, func(t *testing.T, f *fixture, id string) error {
			zero := 0
			return f.e.jobs.api.ContainerStop(t.Context(), id, container.StopOptions{Timeout: &zero})
		}, market.CodeProviderStop, market.FaultProvider},
		"remove": {[]string{"forever"}, func(t *testing.T, f *fixture, id string) error {
			return f.e.jobs.api.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true})
		}, market.CodeContainerLost, market.FaultProvider},
		"itself": {[]string{"kill=9"}, func(*testing.T, *fixture, string) error { return nil }, market.CodeJobKilled,
			market.FaultUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			f.k = newKey(t)
			defer remove(t, f.e, f.k)
			w := job.Want{Phase: job.WantRunning, Plan: f.plan(c.steps...)}
			o := f.until(t, w, is(job.Running))
			if err := c.do(t, f, o.ContainerID); err != nil {
				t.Fatal(err)
			}
			if o := f.until(t, w, is(job.Exited)); o.Code != c.code ||
				market.FaultOf(o.Code, market.ProviderSide) != c.fault {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// TestKilled_ByUs_IsNoRiddle: our own signals have their own causes.
func TestKilled_ByUs_IsNoRiddle(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}
	f.until(t, w, is(job.Running))
	w.Phase = job.WantGone
	if o := f.until(t, w, is(job.Exited)); o.Code != "" || o.Exit != exitKilled {
		t.Errorf("got %+v", o)
	}
}

// forgetful loses one save, as a node does that is killed just before it.
type forgetful struct {
	job.Memory
	lose int // how many saves from now
}

var errKilled = errors.New("killed")

func (m *forgetful) Save(ctx context.Context, k job.Key, row []byte) error {
	if m.lose--; m.lose < 0 {
		return errKilled
	}
	return m.Memory.Save(ctx, k, row)
}

// TestCreate_NodeDiesBehindIt_GoesOn: the container is there and nothing about it was noted. The next node makes whole
// what is missing: the workspace's owner, the guard, the note, and then takes inputs, runs the job and gives its
// outputs.
func TestCreate_NodeDiesBehindIt_GoesOn(t *testing.T) {
	for name, egress := range map[string]uint8{"none": market.EgressNone, "web": market.EgressWeb} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, runtimetest.ImageConfig{User: "user"})
			mem := f.memory()
			f.e.jobs.rows = rows{&forgetful{mem, 0}}
			p := f.plan("write=/workspace/out/a:1", "echo=once")
			p.Egress, p.Resolvers = egress, []string{"1.1.1.1"}
			if _, err := f.made(t, p); !errors.Is(err, errKilled) {
				t.Fatalf("the node lived on: %v", err)
			}
			f.e = newEngine(t, f.peer(), mem)
			if o := f.ends(t, p); o.Exit != 0 || strings.Count(f.logs(t), "once") != 1 {
				t.Errorf("got %+v: %s", o, f.logs(t))
			}
			f.outputs(t)
		})
	}
}

func (f *fixture) outputs(t *testing.T) {
	t.Helper()
	fs, err := f.e.Files(t.Context(), f.k)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := fs.GetOutputs(t.Context(), []string{"/workspace/out"}, io.Discard); err != nil || len(m.Entries) == 0 {
		t.Errorf("its outputs are lost: %+v, %v", m, err)
	}
}

func TestNetwork_HostsAndInterfaces_Agree(t *testing.T) {
	for name, egress := range map[string]uint8{"none": market.EgressNone, "web": market.EgressWeb} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, runtimetest.ImageConfig{})
			p := f.plan("resolve=", "resolve=localhost", "listen=127.0.0.1:8080", "listen=[::1]:8081",
				"listen=localhost:8082")
			p.Egress, p.Resolvers = egress, []string{"1.1.1.1"}
			if o := f.ends(t, p); o.Exit != 0 {
				t.Errorf("exit %d: %s", o.Exit, f.logs(t))
			}
		})
	}
}

// TestArgv_BesideTheEngine runs each form of ENTRYPOINT and CMD by the engine alone and by us, and compares what the
// program was started with.
func TestArgv_BesideTheEngine(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	for name, c := range map[string]runtimetest.ImageConfig{
		"entry and cmd": {Entrypoint: []string{runtimetest.TestJob, "argv"}, Cmd: []string{"echo=a b", "echo="}},
		"entry empty":   {Entrypoint: []string{""}, Cmd: []string{runtimetest.TestJob, "argv", "echo=x"}},
		"entry none":    {Entrypoint: []string{}, Cmd: []string{runtimetest.TestJob, "argv"}},
		"cmd empty":     {Entrypoint: []string{runtimetest.TestJob, "argv"}, Cmd: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			f.k = newKey(t)
			defer remove(t, f.e, f.k)
			p := f.plan()
			p.Image = runtimetest.PushTestJob(t, f.reg, runtimetest.BuildTestJob(t), "test/"+f.peer()+"-argv", c)
			if o := f.ends(t, p); o.Exit != 0 {
				t.Errorf("exit %d: %s", o.Exit, f.logs(t))
			}
			ours, err := f.e.jobs.inspect(t.Context(), f.e.jobs.name(f.k, "job"))
			if err != nil || ours == nil {
				t.Fatal(err)
			}
			want, err := f.e.jobs.tools.once(t.Context(), f.e.jobs.prefix()+"alone",
				&container.Config{Image: ours.Image},
				&container.HostConfig{NetworkMode: "none"})
			if err != nil {
				t.Fatal(err)
			}
			if got := f.logs(t); got != string(want) {
				t.Errorf("got %q, the engine alone %q", got, want)
			}
		})
	}
}
