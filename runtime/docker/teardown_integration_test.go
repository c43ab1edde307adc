//go:build integration

package docker

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

func objects(t *testing.T, e *Engine) []string {
	t.Helper()
	out, err := e.Objects(context.Background(), string(e.jobs.names))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTeardown_HoweverAJobEnds_NothingIsLeft: after Remove the node has its network only, and after Close not even
// that.
func TestTeardown_HoweverAJobEnds_NothingIsLeft(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *fixture, job.Plan){
		"Completed": func(t *testing.T, f *fixture, p job.Plan) {
			w := job.Want{Phase: job.WantRunning, Plan: p}
			f.until(t, w, is(job.Running))
			f.until(t, w, is(job.Exited))
		},
		"StartFailed": func(t *testing.T, f *fixture, p job.Plan) {
			p.Spec.Command = []string{"/no/such/program"}
			f.until(t, job.Want{Phase: job.WantRunning, Plan: p},
				func(o job.Observed) bool { return o.Code == market.CodeStartCommand })
		},
		"StoppedBeforeTheStart": func(t *testing.T, f *fixture, p job.Plan) {
			if _, err := f.e.Reconcile(t.Context(), f.k, job.Want{Phase: job.WantRunning, Plan: p}); err != nil {
				t.Fatal(err)
			}
			f.until(t, job.Want{Phase: job.WantGone, Plan: p}, is(job.Absent, job.Exited))
		},
		"RemovedWhileRunning": func(t *testing.T, f *fixture, p job.Plan) {
			p.Spec.Args = []string{"forever"}
			f.until(t, job.Want{Phase: job.WantRunning, Plan: p}, is(job.Running))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, runtimetest.ImageConfig{Volumes: []string{"/data"}})
			p := f.plan("write=/workspace/x:1", "write=/data/x:1")
			p.Egress, p.Resolvers = market.EgressWeb, []string{"1.1.1.1"}
			end(t, f, p)
			remove(t, f.e, f.k)
			if left := objects(t, f.e); len(left) > 1 || len(left) == 1 && left[0] != "network "+f.e.jobs.network() {
				t.Errorf("left: %q", left)
			}
			if err := f.e.Close(); err != nil {
				t.Fatal(err)
			}
			f.e = newEngine(t, f.peer(), f.memory())
			if left := objects(t, f.e); len(left) > 0 {
				t.Errorf("left after the node's end: %q", left)
			}
		})
	}
}

// TestTeardown_StoppedAtAnyPoint_NothingIsLeft stops a job at ever later points of its preparation: a call that is
// under way must not make something behind the removal.
func TestTeardown_StoppedAtAnyPoint_NothingIsLeft(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{Volumes: []string{"/data"}})
	f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}, is(job.Running)) // image and helper are there
	remove(t, f.e, f.k)
	for i := range 16 {
		k := newKey(t)
		f.k = k
		p := f.plan("forever")
		if i%2 > 0 {
			p.Egress, p.Resolvers = market.EgressWeb, []string{"1.1.1.1"}
		}
		// it may be cut off
		f.e.jobs.wg.Go(func() { _, _ = f.e.Reconcile(t.Context(), k, job.Want{Phase: job.WantRunning, Plan: p}) })
		// the point, not a wait for something
		time.Sleep(time.Duration(i) * 8 * time.Millisecond)
		f.until(t, job.Want{Phase: job.WantGone, Plan: p}, is(job.Absent, job.Exited))
		remove(t, f.e, f.k)
		if left := objects(t, f.e); len(left) > 1 || len(left) == 1 && left[0] != "network "+f.e.jobs.network() {
			t.Errorf("point %d: left %q", i, left)
		}
	}
}

// TestTeardown_Close_KeepsTheNetworkOfJobs: a node that ends leaves its jobs running, with their network.
func TestTeardown_Close_KeepsTheNetworkOfJobs(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan("forever")
	p.Egress, p.Resolvers = market.EgressWeb, []string{"1.1.1.1"}
	w := job.Want{Phase: job.WantRunning, Plan: p}
	before := f.until(t, w, is(job.Running))
	if err := f.e.Close(); err != nil {
		t.Fatal(err)
	}
	f.e = newEngine(t, f.peer(), f.memory())
	if left := objects(t, f.e); len(left) != 4 { // job, guard, volume, network
		t.Errorf("there is %q", left)
	}
	if o := f.until(t, w, is(job.Running)); o.ContainerID != before.ContainerID {
		t.Errorf("another job: %+v", o)
	}
	if err := f.e.RemoveNode(t.Context(), f.peer()); err != nil {
		t.Error(err)
	}
	if left := objects(t, f.e); len(left) > 0 {
		t.Errorf("left of a node that is given up: %q", left)
	}
}

// TestTeardown_SweptTools_AreMadeAgain: the helper's image and volume are only a cache, which others may empty under a
// running node (docker system prune --volumes does).
func TestTeardown_SweptTools_AreMadeAgain(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("echo=x")}
	f.until(t, w, is(job.Running))
	f.until(t, w, is(job.Exited))
	remove(t, f.e, f.k)
	if err := f.e.Sweep(t.Context(), Traces{}, f.reg.Host()); err != nil {
		t.Fatal(err)
	}
	if now, err := f.e.Traces(t.Context(), f.reg.Host()); err != nil || len(now.images)+len(now.volumes) > 0 {
		t.Errorf("left: %v, %v", now, err)
	}
	f.k = newKey(t)
	w.Plan.Deadline = time.Now().Add(time.Minute)
	f.until(t, w, is(job.Running))
	if o := f.until(t, w, is(job.Exited)); o.Exit != 0 || o.Code != "" {
		t.Errorf("after the sweep: %+v", o)
	}
}
