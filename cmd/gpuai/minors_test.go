package main

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
)

// TestNoOffer_UnknownModel_SaysWhatIsOnOffer: a model that nobody has is told from one that is rented out.
func TestNoOffer_UnknownModel_SaysWhatIsOnOffer(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.plan = api.Plan{Rejections: []api.Rejection{{Code: "class", Detail: "2 without rtx-4000"}},
		NearestHint: "gpuai offers --explain"}
	for model, want := range map[string]string{
		"rtx-4000": "nobody offers rtx-4000; on offer are: h100, rtx-4090; did you mean rtx-4090?",
		"foo-bar":  "on offer are: h100, rtx-4090\n", "h100": "2 without rtx-4000",
	} {
		code, _, errOut := b.run("", "run", "-y", "--gpu", model, "--max-total", "0.02", "alpine:3")
		if code != 5 || !strings.Contains(errOut, want) {
			t.Errorf("%s: %d\n%s", model, code, errOut)
		}
	}
}

// TestPs_Empty_SaysSo: on the screen; a document stays a document.
func TestPs_Empty_SaysSo(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.none = true
	for args, want := range map[string]string{"ps": "no running orders; all of them: gpuai ps -a",
		"ps -a": "no orders yet"} {
		code, out, errOut := b.run("", strings.Fields(args)...)
		if code != 0 || out != "" || !strings.Contains(errOut, want) {
			t.Errorf("%s: %d %q %q", args, code, out, errOut)
		}
	}
	if _, out, _ := b.run("", "--json", "ps"); !strings.Contains(out, `"orders": []`) {
		t.Errorf("%s", out)
	}
}

// TestSilent_IsExplained: in the list, and in what to do next.
func TestSilent_IsExplained(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.live(true)
	heard := rest.At(time.Now().Add(-42 * time.Second))
	o := &b.node.order
	o.State, o.HeardAt, o.Detail, o.Hint = "silent", &heard, "provider x does not answer; last heard 42s ago",
		"wait, or end it now: gpuai stop order_7"
	_, out, errOut := b.run("", "ps")
	if !strings.Contains(out, "silent (its provider is not heard for 4") ||
		!strings.Contains(errOut, "last heard 42s ago") || !strings.Contains(errOut, "gpuai stop order_7") {
		t.Errorf("%q %q", out, errOut)
	}
	if _, out, _ := b.run("", "show", "train"); !strings.Contains(out,
		"next\twait, or end it now: gpuai stop order_7") {
		t.Errorf("%s", out)
	}
	o.State = "running"
	if _, out, _ := b.run("", "ps"); !strings.Contains(out, "running (not heard for 4") {
		t.Errorf("%q", out)
	}
	fresh := rest.At(time.Now())
	o.HeardAt = &fresh
	if _, out, _ := b.run("", "ps"); !strings.Contains(out, "\trunning\t") {
		t.Errorf("%q", out)
	}
}

// TestNext_ByWhatTheJobIs: a job that has ended is neither followed nor stopped, whatever its money still waits for.
func TestNext_ByWhatTheJobIs(t *testing.T) {
	t.Parallel()
	ready := rest.At(time.Now())
	for want, o := range map[string]api.Order{
		"gpuai logs -f train, gpuai stop train": {ID: "order_7", Name: "train", Standing: "leased", State: "running",
			OrderRun: api.OrderRun{ReadyAt: &ready}},
		"wait, or: gpuai stop order_7": {ID: "order_7", Standing: "leased",
			State: "preparing"},
		"wait: the job has ended, what is not spent is on its way back": {ID: "order_7", Standing: "leased",
			State: "closing", OrderRun: api.OrderRun{ReadyAt: &ready, Channel: "c"}},
		"gpuai outputs train DIR": {ID: "order_7", Name: "train", Standing: "ended", State: "ended",
			OrderClose: api.OrderClose{Finished: true, OutputsReady: true}},
		"gpuai receipt order_7": {ID: "order_7", Name: "a b", Standing: "ended", State: "ended",
			OrderClose: api.OrderClose{Finished: true}},
	} {
		if got := next(o); got != want {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
}

// TestTimeout_OrderGoesOn: --timeout ends the command; the error says that the order goes on, what it costs, and what
// ends it.
func TestTimeout_OrderGoesOn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.live(true)
	code, _, errOut := b.run("", "--timeout", "1s", "run", "-y", "--max-total", "0.02", "alpine:3")
	if code != exitAttached || !strings.Contains(errOut, "error[timeout]") ||
		!strings.Contains(errOut, "train (order_7) goes on and costs 0.0024 SOL/hour") ||
		!strings.Contains(errOut, "fix: gpuai stop train") || len(b.node.stops()) != 0 {
		t.Errorf("%d %s", code, errOut)
	}
}

// TestStopWait_LedgerAway_SaysSo: a refund that waits for the ledger is not called a job that stops.
func TestStopWait_LedgerAway_SaysSo(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.live(true)
	b.node.order.State, b.node.order.Channel = "closing", "ch"
	b.node.noLedger, b.node.lives = true, false
	_, _, errOut := b.run("", "--timeout", "4s", "stop", "--wait", "train")
	if !strings.Contains(errOut, "the ledger does not answer: the job has ended") ||
		strings.Contains(errOut, "stopping ") {
		t.Errorf("%s", errOut)
	}
}

var errNoLedger = &market.Error{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable, Op: "ask ledger",
	Detail: "no endpoint answers", Hint: "gpuai doctor --only chain"}
