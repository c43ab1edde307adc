package docker

import (
	"testing"

	"github.com/gpuai/gpuai/runtime/job"
)

// What is published while a worker still looks for the reason of an end is not the end: a caller that is not patient
// would take it for the job's own.
func TestNote_End_IsLeftToTheWorkersAnswer(t *testing.T) {
	for _, end := range []job.State{job.Exited, job.FailedState} {
		en := &entry{last: job.Observed{State: job.Created}}
		en.note(job.Observed{State: end, Exit: 1})
		if en.last.State != job.Created {
			t.Errorf("state %d was published before its reason was known", end)
		}
		en.note(job.Observed{State: job.Gated})
		if en.last.State != job.Gated {
			t.Errorf("got %d, want %d", en.last.State, job.Gated)
		}
	}
}
