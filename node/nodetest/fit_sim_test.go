package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestFit_WeakSandbox_SellsNothing: a rig whose probe fails lists nothing, says why, and sells once the probe passes.
func TestFit_WeakSandbox_SellsNothing(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		w.stopProv()
		w.setup.fit = func(context.Context) (bool, error) {
			return false, &market.Error{Code: market.CodeSandboxWeak, Kind: market.KindUnavailable, Op: "check sandbox"}
		}
		w.startProvider(t)
		until(t, "the rig is still listed", func() bool {
			o := w.cust.Book.Offers()
			return len(o) == 0 ||
				len(o[0].Groups) == 0
		})
		if v := w.prov.View(); v.Selling || v.Why == "" {
			t.Errorf("selling %v, why %q", v.Selling, v.Why)
		}
		w.stopProv()
		w.setup.fit = func(context.Context) (bool, error) { return false, nil }
		w.startProvider(t)
		until(t, "the rig is not listed again", func() bool {
			o := w.cust.Book.Offers()
			// The guard does not work here: only egress none is offered.
			return len(o) == 1 && len(o[0].Groups) == 1 && o[0].Fields[market.FieldEgress] == uint64(market.EgressNone)
		})
		r := request("web")
		r.File.Egress = market.EgressWeb
		if v := w.await(t, w.place(t, r), over); v.Code != market.CodeNoOfferFits {
			t.Errorf("an order with egress web ended as %s: %s", v.Code, v.Detail)
		}
	})
}
