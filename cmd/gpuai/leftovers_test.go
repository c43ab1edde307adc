package main

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
)

// TestNetPing_ShortID_IsThePeers: the end of an id names a peer, or a node that offers something.
func TestNetPing_ShortID_IsThePeers(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for i, w := range []string{"prov", "pone", "/ip4/192.0.2.1/udp/1/quic-v1/p2p/x"} {
		b.node.quiet = i > 0 // no offers: peers only
		if code, _, errOut := b.run("", "net", "ping", w); code != 0 {
			t.Errorf("%s: exit %d %s", w, code, errOut)
		}
	}
	want := []string{"12D3KooWdearprov", "12D3KooWcheapone", "/ip4/192.0.2.1/udp/1/quic-v1/p2p/x"}
	if !slices.Equal(b.node.pinged, want) {
		t.Errorf("pinged %q", b.node.pinged)
	}
}

// TestOffers_QuietNode_SaysSo: a node that hears no offers does not say that nobody sells.
func TestOffers_QuietNode_SaysSo(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.quiet = true
	_, out, errOut := b.run("", "offers")
	if out != "" {
		t.Errorf("%q", out)
	}
	says(t, errOut, "this node is quiet and hears no offers")
	says(t, errOut, "gpuai net find MODEL")
}

// TestOutputs_All_BringsWhatWasHeldBack: outputs of a failed job with when: success come if they are asked for.
func TestOutputs_All_BringsWhatWasHeldBack(t *testing.T) {
	t.Parallel()
	b := outputsBed(t, 3)
	best := filepath.Join(b.dir, "home", "best")
	b.node.order.Outputs = []api.Output{{Path: "/workspace/out", To: best, When: "success",
		LeftOut: "when: success, and the job's exit code is 3"}}
	b.node.held, b.node.outputs = b.node.outputs, nil
	_, _, errOut := b.run("", "outputs", b.node.order.ID)
	says(t, errOut, "gpuai outputs "+b.node.order.ID+" --all")
	code, _, errOut := b.run("", "outputs", b.node.order.ID, "--all")
	if code != 0 {
		t.Errorf("exit %d: %s", code, errOut)
	}
	reads(t, filepath.Join(best, "a"), "data")
}

// TestWaiting_NamesMoneyAndWhy: each channel whose money is not back says so, with the reason; one that is over does
// not.
func TestWaiting_NamesMoneyAndWhy(t *testing.T) {
	t.Parallel()
	at := rest.Time{}
	owed := api.SOL(5)
	list := []api.Channel{
		{Address: "troubled1", State: "open", Deposit: api.SOL(30_000_000), Paid: api.SOL(10_000_000),
			Trouble: "account A holds 0 SOL, the fee is 0.000005"},
		{Address: "closing11", State: "closing", Deposit: api.SOL(1_000_000), ClosesAt: &at},
		{Address: "thinpayee", State: "paid-out", Deposit: api.SOL(5), Paid: api.SOL(5), Waits: &owed},
		{Address: "openagain", State: "open", Deposit: api.SOL(2_000_000)},
		{Address: "overandout", State: "gone", Deposit: api.SOL(7), Trouble: "long ago"},
	}
	shown, stopping := waiting(list, false), waiting(list, true)
	if len(shown) != 3 || len(stopping) != 4 {
		t.Fatalf("%q, and at a stop %q", shown, stopping)
	}
	says(t, shown[0], "0.02 SOL in channel troubled wait: account A holds 0 SOL")
	says(t, shown[1], "0.001 SOL in channel closing1 come back after")
	says(t, shown[2], "waits with 0.000000005 SOL")
	says(t, stopping[3], "0.002 SOL in channel openagai stay there")
}
