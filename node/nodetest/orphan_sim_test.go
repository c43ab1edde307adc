package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// TestOrphan_AtTheStart_IsPausedAtOnce: a store of before the lease was put back. Its container runs unpaid, and is
// frozen within ten seconds.
func TestOrphan_AtTheStart_IsPausedAtOnce(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		w.stopProv()
		k := job.Key{Lease: market.LeaseID{1, 2, 3}}
		for range 2 { // made, then started
			if _, err := w.engine.Reconcile(t.Context(), k,
				job.Want{Phase: job.WantRunning, InputsReady: true}); err != nil {
				t.Fatal(err)
			}
		}
		ran := w.engine.Ran()
		w.startProvider(t)
		until(t, "it is not paused", func() bool {
			o, err := w.engine.Observe(t.Context(), k)
			return err == nil && o.State == job.PausedState
		})
		if unpaid := w.engine.Ran() - ran; unpaid > 10*time.Second {
			t.Errorf("it ran %s more, for nobody", unpaid)
		}
		time.Sleep(11 * time.Minute)
		if w.engine.Jobs() != 0 {
			t.Error("it stays for ever")
		}
	})
}
