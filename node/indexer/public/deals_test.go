package public_test

import (
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// TestDeals_NoneYet: an index that knows of no lease and no Want says so with empty lists, and leaves figures out.
func TestDeals_NoneYet(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		l := read[public.Leases](t, s, "/leases?slug=rtx-4090&provider=peer001&wallet=payout1&limit=3")
		w := read[public.Wants](t, s, "/wants?slug=rtx-4090")
		c := read[public.ClearedPrices](t, s, "/gpus/rtx-4090/cleared")
		b := read[public.Depth](t, s, "/book/rtx-4090")
		m := read[public.ModelPage](t, s, "/gpus/rtx-4090")
		p := read[public.ProviderPage](t, s, "/providers/peer001")
		sum := read[public.Summary](t, s, "/summary")
		if len(l.Leases)+len(w.Wants)+len(c.Points)+len(b.Bids)+len(p.Ends)+len(sum.Leases)+len(sum.Paid) != 0 ||
			b.Spread != nil || b.Fill != nil || m.Cleared != nil || sum.Jobs.Value != 0 || sum.Jobs.Src != db.Signed {
			t.Errorf("%+v %+v %+v %+v %+v %+v %+v", l, w, c, b, m, p, sum)
		}
		for path, want := range map[string]int{"/leases/none": 404, "/leases/%00": 404, "/leases?cursor=MTU": 400,
			"/leases?slug=%00": 400, "/wants?cursor=MWE": 400, "/wants?slug=%07": 400, "/gpus/%00/cleared": 404,
			"/gpus/x/cleared?since=tomorrow": 400} {
			if w := s.get(t, path); w.Code != want {
				t.Errorf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
			}
		}
	})
}
