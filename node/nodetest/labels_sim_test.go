package nodetest

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/node/customer"
)

// TestJob_AfterARestart_IsTheSame: what a job file says is still known of its order, labels and retries too.
func TestJob_AfterARestart_IsTheSame(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		r := request("labelled")
		r.File.Labels, r.File.Retry = map[string]string{"project": "demo", "note": "a=b <c>"}, 2
		r.File.Limits.IdleStop, r.File.Outputs[0].When = 5*time.Minute, "always"
		before := w.await(t, w.place(t, r), over)
		w.stopCust()
		w.startCustomer(t)
		after := w.await(t, before.ID, func(customer.View) bool { return true })
		if !maps.Equal(after.Request.File.Labels, r.File.Labels) {
			t.Errorf("labels %v", after.Request.File.Labels)
		}
		want := before.Request
		want.File.Shm = want.File.Memory / 4 // the default, filled in where a file is read
		if d := cmp.Diff(want, after.Request); d != "" {
			t.Error(d)
		}
	})
}
