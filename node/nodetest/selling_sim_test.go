package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestSim_Kick_EndsTyped: an owner ends a lease: it is his fault, the customer hears why and pays what ran and no more.
func TestSim_Kick_EndsTyped(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, long())
		v := w.await(t, id, running)
		time.Sleep(time.Minute)
		if err := w.prov.Kick(t.Context(), "lease_none", "x"); market.CodeOf(err) != market.CodeNotFound {
			t.Errorf("unknown lease: %v", err)
		}
		if err := w.prov.Kick(t.Context(), v.Lease.ID.String()[:12], "the rig moves house"); err != nil {
			t.Fatal(err)
		}
		v = w.await(t, id, over)
		w.exact(t, v, market.CodeProviderStop, before)
		if v.Lease.Fault != market.FaultProvider || v.Lease.Detail != "the rig moves house" {
			t.Errorf("fault %s, %q", v.Lease.Fault, v.Lease.Detail)
		}
	})
}

// TestSim_WhyIdle_CountsWhoAsked: orders that were leased, refused and never placed are told apart, once each, also
// after a restart.
func TestSim_WhyIdle_CountsWhoAsked(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		v := w.await(t, w.place(t, long()), over)
		if v.Code != market.CodeCompleted {
			t.Fatalf("%s %s", v.Code, v.Detail)
		}
		r := request("banned")
		rule, err := spec.ParseImageRule("127.0.0.1/sample")
		if err != nil {
			t.Fatal(err)
		}
		policy := w.pc.Policy
		policy.Deny = []spec.ImageRule{rule}
		w.prov.SetPolicy(policy)
		w.await(t, w.place(t, r), over)
		look := func(when string) {
			t.Helper()
			i := w.prov.Idle()
			if i.Asked != 2 || i.Customers != 1 || i.Leased != 1 || i.Quoted != 1 || len(i.Refused) != 1 ||
				i.Refused[0].Code != market.CodePolicy || i.Refused[0].Orders != 1 {
				t.Errorf("%s: %+v", when, i)
			}
		}
		look("now")
		time.Sleep(2 * time.Minute)
		w.stopProv()
		w.startProvider(t)
		until(t, "the rig does not sell", func() bool { return w.prov.View().Selling })
		look("after a restart")
	})
}
