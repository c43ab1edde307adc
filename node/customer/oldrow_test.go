package customer

import (
	"os"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// TestOldRow_EachStanding_IsAPurchase: a row of before purchases, in whatever standing, is read as the purchase that
// goes on from there, and is the same once it is written anew.
func TestOldRow_EachStanding_IsAPurchase(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("testdata/order-row-gpu")
	if err != nil {
		t.Fatal(err)
	}
	channel, lease := market.ChannelID{8}, market.LeaseID{9}
	leased := map[string]any{"ID": lease, "State": market.Running, "Terms": map[string]any{"Rate": 5}}
	gone := map[string]any{"ID": lease, "State": market.Closing, "LetGo": true, "Code": "provider-silent"}
	for name, c := range map[string]struct {
		row  map[string]any
		want market.Stage
		ok   func(market.Purchase) bool
	}{
		"inputs":    {map[string]any{"Standing": "inputs"}, market.StageInputs, nil},
		"searching": {map[string]any{"Standing": "searching"}, market.StageQuoting, nil},
		"searching, stopped": {map[string]any{"Standing": "searching", "StopAsked": true}, market.StageQuoting,
			market.Purchase.Stopping},
		"funding": {map[string]any{"Standing": "funding", "Provider": market.NodeID{7}}, market.StageFunding,
			func(p market.Purchase) bool { return p.Provider == market.NodeID{7} && p.Lease == market.LeaseID{} }},
		"leased": {map[string]any{"Standing": "leased", "Channel": channel, "Lease": leased}, market.StageLeased,
			func(p market.Purchase) bool { return p.Lease == lease && p.Channel == channel && !p.Stopping() }},
		"ended": {map[string]any{"Standing": "ended", "Code": "completed", "Channel": channel, "Lease": leased,
			"Finished": true, "Paid": 5, "Returned": 7, "FinishSig": "tx"}, market.StageOver,
			func(p market.Purchase) bool {
				return p.Home && p.Paid == 5 && p.Returned == 7 && p.Tx == "tx" && p.End.Code == "completed" && !p.Later
			}},
		"ended before its refund": {map[string]any{"Standing": "ended", "Code": "completed", "Channel": channel,
			"Lease": leased}, market.StageOver, func(p market.Purchase) bool { return p.Later && !p.Home }},
		"let go": {map[string]any{"Standing": "ended", "Code": "provider-silent", "Channel": channel, "Lease": gone,
			"RefundLater": true}, market.StageOver, func(p market.Purchase) bool { return p.Lingers && p.Later }},
		"failed": {map[string]any{"Standing": "failed", "Code": "busy", "Detail": "d", "Hint": "h"}, market.StageOver,
			func(p market.Purchase) bool {
				return p.Failed &&
					p.End == market.Reason{Code: "busy", Detail: "d", Hint: "h"}
			}},
	} {
		row := map[string]any{}
		if err := store.Unrow(golden, &row); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"Lease", "Channel", "Provider", "Finished", "RefundLater", "Code"} {
			delete(row, k)
		}
		for k, v := range c.row {
			row[k] = v
		}
		o, err := readOld(store.Row(row))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if o.Stage != c.want || c.ok != nil && !c.ok(o.Purchase) {
			t.Errorf("%s: %s %+v", name, o.Stage, o.Purchase)
		}
		again, err := readOld(store.Row(o))
		if a, b := store.Row(again), store.Row(o); err != nil || string(a) != string(b) {
			t.Errorf("%s: written anew it is another row (%v):\n%s\n%s", name, err, a, b)
		}
	}
}
