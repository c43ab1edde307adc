package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/p2p/wire"
)

// capped is an order whose cap carries one minute of work.
func capped() customer.Request {
	r := request("capped")
	r.File.Limits.MaxTotal, r.File.Limits.MaxDuration, r.File.StopGrace = 60*second, time.Hour, 5*time.Second
	return r
}

// TestCap_RaisedWhileItRuns_JobGoesOn: a cap that is raised when a fifth of it is left lets the job run to its end,
// beyond the first deposit too; both sides have it on disk, so a restart of either forgets nothing, and a repeat
// changes nothing.
func TestCap_RaisedWhileItRuns_JobGoesOn(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]func(w *world, t *testing.T){
		"no restart": func(*world, *testing.T) {},
		"provider":   func(w *world, t *testing.T) { w.stopProv(); w.startProvider(t) },
		"customer":   func(w *world, t *testing.T) { w.stopCust(); w.startCustomer(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 150 * time.Second}, func(t *testing.T, w *world) {
				before := w.chain.Balance(w.payout)
				id := w.place(t, capped())
				v := w.await(t, id, func(v customer.View) bool { return running(v) && v.Lease.Claim >= 48*second })
				for range 2 {
					if err := w.cust.RaiseCap(t.Context(), id.String(), 300*second); err != nil {
						t.Fatal(err)
					}
				}
				if m := w.sold(t, v); m.Limit() != 300*second {
					t.Errorf("the provider's limit is %d", m.Limit())
				}
				if err := w.cust.RaiseCap(t.Context(), id.String(), 100*second); err != nil {
					t.Errorf("a lower cap: %v", err)
				}
				restart(w, t)
				v = w.await(t, id, over)
				w.exact(t, v, market.CodeCompleted, before)
				if v.Request.File.Limits.MaxTotal != 300*second || v.Paid < 149*second || v.Paid > 151*second {
					t.Errorf("cap %d, paid %d for 150 s", v.Request.File.Limits.MaxTotal, v.Paid)
				}
			})
		})
	}
}

// TestCap_NotRaised_EndsAtTheOldOne, and a cap that comes too late is refused in words.
func TestCap_NotRaised_EndsAtTheOldOne(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 150 * time.Second}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, capped())
		v := w.await(t, id, over)
		w.exact(t, v, market.CodeCapReached, before)
		if err := w.cust.RaiseCap(t.Context(), id.String(), 300*second); market.CodeOf(err) != market.CodeConflict {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestCap_AskedWhileCutOff_IsAskedAgain: a provider that does not hear the wish is asked until it answers, and neither
// side works or signs beyond the old cap before.
func TestCap_AskedWhileCutOff_IsAskedAgain(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 150 * time.Second}, func(t *testing.T, w *world) {
		id := w.place(t, capped())
		v := w.await(t, id, running)
		w.sw.noAmend.Store(true)
		if err := w.cust.RaiseCap(t.Context(), id.String(), 300*second); market.CodeOf(err) != market.CodeTimeout {
			t.Errorf("unheard: %v", err)
		}
		if c, p := w.await(t, id, running).Lease.Limit(), w.sold(t, v).Limit(); c != 60*second || p != 60*second {
			t.Errorf("limits are %d and %d", c, p)
		}
		w.sw.noAmend.Store(false)
		w.await(t, id, func(v customer.View) bool { return v.Lease.Limit() == 300*second })
		if v = w.await(t, id, over); v.Code != market.CodeCompleted {
			t.Errorf("%s %s", v.Code, v.Detail)
		}
	})
}

// TestCap_ForeignSignature_IsRefused: only the lease's own customer raises its cap, with its own signature.
func TestCap_ForeignSignature_IsRefused(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second}, func(t *testing.T, w *world) {
		v := w.await(t, w.place(t, capped()), running)
		raw, err := wire.SealAmend(w.pc.Key, w.pc.Network,
			market.Amend{Lease: v.Lease.ID, Cap: 900 * second, At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.prov.Amend(t.Context(), w.ch.ID(), raw); market.CodeOf(err) != market.CodeSignerNotPeer {
			t.Errorf("signed by another: %v", err)
		}
		if err := w.prov.Amend(t.Context(), w.ph.ID(), raw); market.CodeOf(err) != market.CodeUnknownLease {
			t.Errorf("another's lease: %v", err)
		}
		if m := w.sold(t, v); m.Limit() != 60*second {
			t.Errorf("the limit is %d", m.Limit())
		}
	})
}
