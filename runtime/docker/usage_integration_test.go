//go:build integration

package docker

import (
	"testing"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

func TestUsage_OfARunningJob(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}
	if u, err := f.e.Usage(t.Context(), f.k); err == nil {
		t.Errorf("a job that does not exist uses %+v", u)
	}
	f.until(t, w, is(job.Running))
	u, err := f.e.Usage(t.Context(), f.k)
	if err != nil || u.CPU <= 0 || u.Memory == 0 || u.Memory > w.Plan.RAM {
		t.Errorf("it uses %+v of %d bytes, %v", u, w.Plan.RAM, err)
	}
	w.Phase = job.WantGone
	f.until(t, w, is(job.Exited))
	if u, err := f.e.Usage(t.Context(), f.k); err == nil {
		t.Errorf("a job that has ended uses %+v", u)
	}
}
