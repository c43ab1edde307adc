package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// TestIdleStop_ExecOfTheOwner_IsUse: what the owner runs beside a silent job counts as use, so its idle time begins
// anew.
func TestIdleStop_ExecOfTheOwner_IsUse(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		r := request("idle")
		r.File.Limits.IdleStop = 5 * time.Minute
		id := w.place(t, r)
		w.await(t, id, in(market.Running))
		time.Sleep(4 * time.Minute)
		code, err := w.cust.Exec(t.Context(), id.String(),
			tunnel.ExecArgs{Argv: []string{runtimetest.TestJob, "exit=0"}}, nil, nil,
			func(uint8, []byte) error { return nil })
		if err != nil || code != 0 {
			t.Fatalf("exec: %d, %v", code, err)
		}
		time.Sleep(4 * time.Minute)
		v := w.await(t, id, over)
		w.exact(t, v, "idle-stop", before)
		if ran := time.Duration(v.Lease.ClaimMS) * time.Millisecond; ran < 9*time.Minute || ran > 10*time.Minute {
			t.Errorf("it ran %s", ran)
		}
	})
}
