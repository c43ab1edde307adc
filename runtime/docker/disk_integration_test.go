//go:build integration

package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// TestDisk_AboveTheGrant_EndsThatJobOnly: the root file system, /workspace and a VOLUME of the image count together; a
// neighbour within its grant goes on, though it is measured by the same call.
func TestDisk_AboveTheGrant_EndsThatJobOnly(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{Volumes: []string{"/data"}})
	good := &fixture{e: f.e, reg: f.reg, img: f.img, k: newKey(t)}
	t.Cleanup(func() { remove(t, good.e, good.k) })
	gw := job.Want{Phase: job.WantRunning, Plan: good.plan("fill=/workspace/x:2097152", "echo=filled", "forever")}
	gw.Plan.Disk = 4 << 20
	good.until(t, gw, is(job.Running))
	p := f.plan("fill=/var/x:2097152", "fill=/workspace/x:2097152", "fill=/data/x:2097152", "forever")
	p.Disk = 5 << 20 // more than two of the three
	w := job.Want{Phase: job.WantRunning, Plan: p}
	f.until(t, w, is(job.Running))
	o := f.until(t, w, is(job.Exited))
	if o.Code != market.CodeDiskExceeded || o.OOM || o.Exit != 137 ||
		!strings.HasPrefix(o.Detail, "disk 5.0 MiB granted, 6.") {
		t.Errorf("got %+v", o)
	}
	good.until(t, gw, func(o job.Observed) bool { // it was measured with its file, and lives
		f.e.jobs.disk.mu.Lock()
		defer f.e.jobs.disk.mu.Unlock()
		return o.State == job.Running && f.e.jobs.disk.used[lease16(good.k.Lease)].now >= 2<<20
	})
	f.e = newEngine(t, f.peer(), f.memory()) // the cause outlives the node
	if again, err := f.e.Observe(t.Context(), f.k); err != nil || again.Code != o.Code || again.Detail != o.Detail {
		t.Errorf("after a restart: %+v, %v", again, err)
	}
}

// TestDisk_GraceIsNoTimeToFillIt: a job that was asked to stop and writes on is killed before its grace is over.
func TestDisk_GraceIsNoTimeToFillIt(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan("deaf", "echo=deaf", "forever")
	p.Disk = 2 << 20
	f.until(t, job.Want{Phase: job.WantRunning, Plan: p}, is(job.Running))
	f.says(t, "deaf")
	w := job.Want{Phase: job.WantGone, Plan: p, Grace: 10 * time.Minute}
	f.until(t, w, is(job.Running))
	x, err := f.e.Exec(t.Context(), f.k,
		job.ExecSpec{Argv: []string{runtimetest.TestJob, "fill=/workspace/x:4194304", "forever"}})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if o := f.until(t, w, is(job.Exited)); o.Code != market.CodeDiskExceeded {
		t.Errorf("got %+v", o)
	}
}

// TestDisk_BelowTheFloor_NothingIsSold: the floor is above what the disk has; half of it is, too, so that running jobs
// end for the rig's sake.
func TestDisk_BelowTheFloor_NothingIsSold(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}
	f.until(t, w, is(job.Running))
	f.e.jobs.disk.least = 1 << 62
	if _, err := f.e.Sellable(t.Context()); market.CodeOf(err) != market.CodeDiskFull {
		t.Errorf("sold on a full disk: %v", err)
	}
	select {
	case <-f.e.DiskLow():
	case <-t.Context().Done():
		t.Error("nobody was told")
	}
	if o := f.until(t, w, is(job.Exited)); o.Code != market.CodeDiskFull {
		t.Errorf("got %+v", o)
	}
}
