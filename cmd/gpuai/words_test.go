package main

import (
	"context"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// Shutdown of the tests' node is refused: it lives as long as its test.
func (f *fakeNode) Shutdown(context.Context, bool) error {
	return &market.Error{Code: market.CodeTimeout, Kind: market.KindUnavailable, Op: "stop node",
		Detail: "the test goes on",
		Hint:   "gpuai ps"}
}

// TestNodeStop_UnderAPaidJob_SaysWhatGoesOn: what runs, by its name, how long it is paid for, what becomes of it, and
// how to end it instead. A script is not held up; to end leases needs a yes.
func TestNodeStop_UnderAPaidJob_SaysWhatGoesOn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.live(true)
	b.node.order.AtRisk.Amount = "40000" // at 0.0024 SOL/h: one minute
	_, _, errOut := b.run("", "node", "stop")
	for _, want := range []string{"train (order_7) is running", "paid ahead is 0.00004 SOL (the job runs about 1m " +
		"on, then it is paused; after", "gpuai node stop --end-leases", "1 customer's job on this rig"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in:\n%s", want, errOut)
		}
	}
	b.node.mu.Lock()
	b.node.order.AtRisk.Amount = "0"
	b.node.mu.Unlock()
	if _, _, errOut := b.run("", "node", "stop"); !strings.Contains(errOut,
		"paid ahead is 0 SOL (it is paused at once; ") {
		t.Errorf("nothing paid ahead:\n%s", errOut)
	}
	if !strings.Contains(errOut, "error[timeout]") {
		t.Errorf("a script was held up:\n%s", errOut)
	}
	if code, _, errOut := b.run("", "node", "stop", "--end-leases"); code != 2 ||
		!strings.Contains(errOut, "add --yes") {
		t.Errorf("%d %s", code, errOut)
	}
	zero := 0
	b.node.mu.Lock()
	b.node.order = ended(market.CodeCompleted, &zero)
	b.node.mu.Unlock()
	if _, _, errOut := b.run("", "node", "stop"); strings.Contains(errOut, "order_7") {
		t.Errorf("an ended order goes on:\n%s", errOut)
	}
}

// TestStartFault_OneError: the error that a node died of is shown as itself, not inside another one.
func TestStartFault_OneError(t *testing.T) {
	t.Parallel()
	log := "time=x level=INFO msg=Listening\nerror[chain-unreachable]: the ledger does not answer\n  why: " +
		"http://127.0.0.1:8899: connection refused\n  fix: gpuai localnet\n"
	err := startFault(log, "/n/node.log")
	if market.CodeOf(err) != market.CodeChainUnreachable || strings.Contains(err.Error(), "error[") ||
		err.(*market.Error).Hint != "gpuai localnet" ||
		err.(*market.Error).Detail != "http://127.0.0.1:8899: connection refused" {
		t.Errorf("%+v", err)
	}
	if err := startFault("panic: no\n", "/n/node.log"); market.CodeOf(err) != market.CodeNodeUnreachable ||
		!strings.Contains(err.Error(), "panic: no") || err.(*market.Error).Hint != "see /n/node.log" {
		t.Errorf("%+v", err)
	}
	if err := startFault("", "/n/node.log"); !strings.Contains(err.Error(), "it said nothing") {
		t.Error(err)
	}
}
