package nodetest

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/tunnel"
)

// TestGone_Exec_SaysWhoIsNotHeard: beside a provider that went away an exec says so by its code, before and after the
// lease is silent, and the order says it by itself; once the provider is back all goes on, and beside a job that does
// not run yet or any more it says that.
func TestGone_Exec_SaysWhoIsNotHeard(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 3 * time.Minute}, func(t *testing.T, w *world) {
		exec := func(id market.OrderID) (market.Code, string) {
			_, err := w.cust.Exec(t.Context(), id.String(), tunnel.ExecArgs{Argv: []string{"true"}}, nil, nil,
				func(uint8, []byte) error { return nil })
			if err == nil {
				return "", ""
			}
			return market.CodeOf(err), err.Error()
		}
		before := w.chain.Balance(w.payout)
		w.engine.Hold(true)
		id := w.place(t, request("gone"))
		w.await(t, id, in(market.Preparing))
		if code, text := exec(id); code != market.CodeNotReady {
			t.Errorf("before it runs: %s %s", code, text)
		}
		w.engine.Hold(false)
		w.await(t, id, in(market.Running))
		w.stopProv()
		if code, text := exec(id); code != market.CodePeerUnreachable || !strings.Contains(text, "last heard") {
			t.Errorf("provider gone: %s %s", code, text)
		}
		v := w.await(t, id, in(market.Silent))
		if why, hint := v.Silence(); !strings.Contains(why, v.Provider.Short()) ||
			!strings.Contains(hint, "gpuai stop ") {
			t.Errorf("%q %q", why, hint)
		}
		if code, text := exec(id); code != market.CodeProviderSilent {
			t.Errorf("silent: %s %s", code, text)
		}
		w.startProvider(t)
		w.await(t, id, func(v customer.View) bool { return v.Lease.State == market.Running })
		// this world's engine has no exec
		if code, text := exec(id); code == market.CodePeerUnreachable || code == market.CodeProviderSilent {
			t.Errorf("back: %s %s", code, text)
		}
		w.exact(t, w.await(t, id, over), market.CodeCompleted, before)
		if code, text := exec(id); code != market.CodeJobEnded {
			t.Errorf("over: %s %s", code, text)
		}
	})
}
