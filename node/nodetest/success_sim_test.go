package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestOutputs_WhenSuccess: what is wanted of a successful job alone comes from one that completed; of one that its user
// stopped it is brought and signed like all outputs, so that both agree, and stays, which is named.
func TestOutputs_WhenSuccess(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]bool{"completed": false, "stopped": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
				before := w.chain.Balance(w.payout)
				r := request("when")
				r.File.Outputs[0].When = spec.WhenSuccess
				id, code := w.place(t, r), market.CodeCompleted
				if w.await(t, id, in(market.Running)); stop {
					code = market.CodeStopped
					if err := w.cust.StopOrder(t.Context(), id.String(), false); err != nil {
						t.Fatal(err)
					}
				}
				v := w.await(t, id, over)
				w.exact(t, v, code, before)
				w.hasOutputs(t, v)
				_, comes := v.Comes("out.txt")
				if comes == stop || (len(v.Files.Stay) == 1) != stop || (v.Files.StayWhy != "") != stop ||
					v.Files.Fetched.IsZero() == stop || len(v.Files.Missing) > 0 || !v.BothSigned {
					t.Errorf("comes %v, %+v, both signed %v", comes, v.Files, v.BothSigned)
				}
			})
		})
	}
}
