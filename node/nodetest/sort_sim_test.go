package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestSort_ByWhatThisNodeSaw: the API says of each rig how far it is and how its orders ended, as far as that is known;
// an order that ranks by readiness takes the rig that was seen to start a job, though another one is cheaper.
func TestSort_ByWhatThisNodeSaw(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 10 * time.Second}, func(t *testing.T, w *world) {
		second := w.another(t, 3, "3.9/h")
		ready := market.Sort{Field: market.FieldReady}
		here := func() (orders int, facts map[string]string) {
			list, err := w.c.backend(t).Offers(t.Context(), ready)
			if err != nil || len(list) != 2 {
				t.Fatalf("%d offers, %v", len(list), err)
			}
			for _, o := range list {
				if o.Provider != second.ph.ID().String() {
					continue
				}
				if facts = o.Facts; o.Orders != nil {
					orders = o.Orders.Orders
				}
			}
			return orders, facts
		}
		if n, facts := here(); n != 0 || facts["ready"] != "" || facts["score"] != "" {
			t.Errorf("before any order: %d, %v", n, facts)
		}
		r := request("there")
		r.File.Placement.Providers = []market.NodeID{second.ph.ID()}
		if v := w.await(t, w.place(t, r), over); v.Code != market.CodeCompleted {
			t.Fatalf("%s %s", v.Code, v.Detail)
		}
		n, facts := here()
		if n != 1 || facts["ready"] == "" || facts["score"] == "" ||
			facts["rtt"] != "101ms" && facts["rtt"] != "100ms" {
			t.Errorf("after one order: %d, %v", n, facts)
		}
		r = request("ready")
		r.File.Placement.Sort = ready
		if v := w.await(t, w.place(t, r), running); v.Provider != second.ph.ID() {
			t.Error("by readiness, the one that was never seen comes first")
		}
		if v := w.await(t, w.place(t, request("price")), over); v.Provider != w.ph.ID() {
			t.Error("by price, the dearer one comes first")
		}
		r = request("near")
		r.File.Placement.Sort = market.Sort{Field: market.FieldRTT}
		v := w.await(t, w.place(t, r), over)
		if v.Provider != w.ph.ID() {
			t.Errorf("of two that are equally far, the dearer comes first: %s %s", v.Code, v.Detail)
		}
	})
}
