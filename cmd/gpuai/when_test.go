package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpuai/gpuai/node/api"
)

// TestOutputs_WhenSuccess_OfAFailedJob: an output that is wanted of a successful job alone is named as left out with
// its reason, on the screen, in JSON and in the status file, is not written, and is no error of its own.
func TestOutputs_WhenSuccess_OfAFailedJob(t *testing.T) {
	t.Parallel()
	const why = "when: success, and the job's exit code is 3"
	b := outputsBed(t, 3)
	best := filepath.Join(b.dir, "home", "best")
	b.node.order.Outputs = append(b.node.order.Outputs,
		api.Output{Path: "/workspace/best", To: best, When: "success", LeftOut: why})
	code, errOut, report := b.runJob()
	if code != 3 || report.Order == nil || len(report.Order.Outputs) != 2 || report.Order.Outputs[1].LeftOut != why ||
		problemCode(report) != "" {
		t.Errorf("exit %d, report %+v", code, report)
	}
	says(t, errOut, "left out  output /workspace/best: "+why)
	reads(t, filepath.Join(b.dir, "home", "o", "a"), "data")
	if _, err := os.Stat(best); !os.IsNotExist(err) {
		t.Errorf("it was written: %v", err)
	}
	code, out, errOut := b.run("", "outputs", b.node.order.ID, "--json")
	var o api.Order
	if err := json.Unmarshal([]byte(out), &o); err != nil || code != 0 || o.Outputs[1].LeftOut != why {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	says(t, errOut, "left out  output /workspace/best: "+why)
	_, out, _ = b.run("", "show", b.node.order.ID)
	says(t, out, "output /workspace/best: "+why)
}
