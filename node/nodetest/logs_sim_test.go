package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestLogs_Follow_WaitsForTheStart: who follows an order at once sees its job from the start; one that never starts
// says so.
func TestLogs_Follow_WaitsForTheStart(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		for name, want := range map[string]struct {
			devices int
			output  string
			refused market.Code
		}{"good": {1, "hello\n", ""}, "bad": {8, "", market.CodeNotFound}} {
			req := request(name)
			req.File.GPU = spec.GPU{AnyOf: []string{market.ClassCPU}, Count: want.devices}
			id := w.place(t, req)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			var got string
			_, err := w.cust.Logs(ctx, id.String(), customer.LogQuery{Follow: true},
				func(r job.LogRecord) error { got += string(r.Data); return nil })
			cancel()
			if got != want.output || market.CodeOf(err) != want.refused || want.refused == "" && err != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	})
}
