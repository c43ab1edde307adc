package main

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// TestRun_RefundIsSaidOnce: steps of a refund that come while it lasts do not begin its line anew.
func TestRun_RefundIsSaidOnce(t *testing.T) {
	t.Parallel()
	b, zero := newBed(t), 0
	b.node.order = ended(market.CodeCompleted, &zero)
	b.node.order.Steps = []api.Step{{Phase: "refund", Detail: "closing"}, {Phase: "refund", Detail: "closed"}}
	b.node.settleIn = 3
	code, _, errOut := b.run("", "run", "-y", "--max-total", "0.02", "alpine:3")
	if code != 0 || strings.Count(errOut, "refund") != 1 {
		t.Errorf("code %d: %q", code, errOut)
	}
}

// TestHelp_TimeoutHasNoDefault: none is not "0s", which would end each command at once.
func TestHelp_TimeoutHasNoDefault(t *testing.T) {
	t.Parallel()
	if _, out, _ := newBed(t).run("", "--help"); !strings.Contains(out, "--timeout") ||
		strings.Contains(out, "default 0s") {
		t.Errorf("%s", out)
	}
}
