//go:build integration

package docker

import (
	"sync"
	"testing"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// The engine refuses the second of two removals, while the first is under way. For both it is removed in the end.
func TestRemove_AtOnceByTwo_IsDoneForBoth(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}, is(job.Running))
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = f.e.RemoveNode(t.Context(), string(f.e.jobs.names)) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	left, err := f.e.Objects(t.Context(), string(f.e.jobs.names))
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
