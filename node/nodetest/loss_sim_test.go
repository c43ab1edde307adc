package nodetest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// another is a second rig in the same world, which asks rate as the settings write it.
func (w *world) another(t *testing.T, n byte, rate string) *world {
	t.Helper()
	v := &world{net: w.net, sim: w.sim, chain: w.chain, engine: runtimetest.NewWorker(w.setup.work), setup: w.setup,
		clock: w.clock, payer: w.payer, payout: addr(string(rune(n)) + "payout")}
	w.chain.Fund(v.payout, 1_000_000)
	v.p = newSide(t, "provider", n, w.p.set, map[string]string{"provider.payout": v.payout.String(),
		"provider.rate": rate, "p2p.bootstrap": strings.Join(w.ph.FullAddrs(), ",")})
	v.p.set["node.data_dir"] = v.p.dir
	v.p.keypair(t, "fee-payer", n+100)
	v.files = map[string]string{"p": filepath.Join(v.p.dir, "state.db")}
	v.p.deps = node.Deps{Clock: v.clock, Chain: Cluster{v.chain, v.account}, Devices: v.devices,
		Provider: v.tuneProvider, Engine: Engine{v.engine, v.fit}.Open}
	known := len(w.cust.Book.Offers())
	v.startProvider(t)
	until(t, "the other rig does not sell", func() bool { return v.prov.View().Selling })
	until(t, "the other offer did not arrive", func() bool { return len(w.cust.Book.Offers()) == known+1 })
	w.c.set["p2p.bootstrap"] += "," + strings.Join(v.ph.FullAddrs(), ",")
	return v
}

// retrying is an order that is placed anew after a provider's loss.
func retrying(key string, retry int) customer.Request {
	r := request(key)
	r.File.Retry = retry
	return r
}

// quickly lets silence end leases in minutes.
func quickly(_ *provider.Config, c *customer.Config) { c.SilentEnd = 3 * time.Minute }

// walletAgrees fails unless the wallet has less by exactly what the order says that it has cost, once nothing is held.
func (w *world) walletAgrees(t *testing.T, id market.OrderID, wallet market.Amount) {
	t.Helper()
	w.chain.Advance(closeDelay) // the program's window is over
	v := w.await(t, id, func(v customer.View) bool { return v.Finished && v.Costs.Storage == 0 })
	cost := v.Paid + v.Costs.Network + v.Costs.ClaimFee
	if spent := wallet - w.chain.Balance(w.payer); spent != cost {
		t.Errorf("the wallet has %d less; paid %d, fees %d, claim fees %d make %d", spent, v.Paid, v.Costs.Network,
			v.Costs.ClaimFee, cost)
	}
}

// TestLoss_ProviderVanishes_TheSecondFinishes: a job whose provider vanishes runs anew at another one, within the
// budget; the first one's deposit comes home whole after one close delay, since it redeemed nothing.
func TestLoss_ProviderVanishes_TheSecondFinishes(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 40 * time.Second, change: quickly}, func(t *testing.T, w *world) {
		second := w.another(t, 3, "3.9/h")
		wallet := w.chain.Balance(w.payer)
		id := w.place(t, retrying("vanishes", 1))
		first := w.await(t, id, running)
		if first.Provider != w.ph.ID() {
			t.Fatal("the dearer one was chosen")
		}
		signed := first.Lease.Signed
		w.stopProv()
		v := w.await(t, id, func(v customer.View) bool { return len(v.Attempts) == 1 && running(v) })
		lost := v.Attempts[0]
		if v.Provider != second.ph.ID() || lost.Provider != w.ph.ID() || lost.Code != "provider-silent" ||
			lost.Fault != market.FaultProvider || lost.Signed < signed {
			t.Fatalf("goes on at %s; lost %+v", v.Provider, lost)
		}
		if v.Lease.Limit()+lost.Signed > v.Request.File.Limits.MaxTotal {
			t.Errorf("%d and what the lost one can redeem, %d, are more than %d", v.Lease.Limit(), lost.Signed,
				v.Request.File.Limits.MaxTotal)
		}
		v = w.await(t, id, over)
		if v.Code != "completed" || !v.OutputsReady || second.engine.Started() != 1 || w.engine.Started() != 1 {
			t.Fatalf("%s %s %s, outputs %v; %+v", v.Standing, v.Code, v.Detail, v.OutputsReady, v.Steps)
		}
		w.chain.Advance(closeDelay)
		v = w.await(t, id, func(v customer.View) bool { return v.Finished })
		got := w.chain.Balance(second.payout) - 1_000_000
		if a := v.Attempts[0]; a.Paid != 0 || a.Returned != a.Deposit || v.Paid != v.Lease.Claim || got != v.Paid {
			t.Errorf("the lost one got %d of %d; paid %d of %d, payout got %d", a.Paid, a.Deposit, v.Paid,
				v.Lease.Claim,
				got)
		}
		if v.Paid+v.Returned != v.Deposit {
			t.Errorf("paid %d, returned %d of %d", v.Paid, v.Returned, v.Deposit)
		}
		w.walletAgrees(t, id, wallet)
	})
}

// TestLoss_RetriesExhausted_TheOrderEnds: the last loss ends the order, with its code, and all money comes home.
func TestLoss_RetriesExhausted_TheOrderEnds(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour, change: quickly}, func(t *testing.T, w *world) {
		second := w.another(t, 3, "3.9/h")
		wallet := w.chain.Balance(w.payer)
		id := w.place(t, retrying("exhausted", 1))
		w.await(t, id, running)
		w.stopProv()
		w.await(t, id, func(v customer.View) bool { return len(v.Attempts) == 1 && running(v) })
		second.stopProv()
		v := w.await(t, id, over)
		if v.Standing != customer.StandingEnded || v.Code != "provider-silent" || len(v.Attempts) != 1 {
			t.Errorf("%s %s, %d attempts lost; %+v", v.Standing, v.Code, len(v.Attempts), v.Steps)
		}
		time.Sleep(time.Minute)
		w.chain.Advance(closeDelay)
		v = w.await(t, id, func(v customer.View) bool { return v.Finished })
		if v.Paid != 0 || v.Returned != v.Deposit {
			t.Errorf("paid %d, returned %d of %d", v.Paid, v.Returned, v.Deposit)
		}
		w.walletAgrees(t, id, wallet)
	})
}

// TestLoss_CustomerRestarts_GoesOn: a node that dies between a loss and the next lease goes on with the next attempt.
func TestLoss_CustomerRestarts_GoesOn(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 40 * time.Second, change: quickly}, func(t *testing.T, w *world) {
		second := w.another(t, 3, "3.9/h")
		id := w.place(t, retrying("dies", 2))
		w.await(t, id, running)
		w.stopProv()
		w.await(t, id, func(v customer.View) bool { return len(v.Attempts) == 1 })
		w.stopCust()
		w.startCustomer(t)
		v := w.await(t, id, over)
		if v.Code != "completed" || v.Provider != second.ph.ID() || len(v.Attempts) != 1 {
			t.Errorf("%s %s %s at %s; %+v", v.Standing, v.Code, v.Detail, v.Provider, v.Steps)
		}
	})
}

// TestLoss_TwoFailures_HideTheProvider: a provider that lost one order is ranked behind a dearer one; after two it is
// hidden for ten minutes, over a restart too, and the explanation says why.
func TestLoss_TwoFailures_HideTheProvider(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 3, work: time.Hour, change: quickly}, func(t *testing.T, w *world) {
		ids := []market.OrderID{w.place(t, request("a")), w.place(t, request("b"))}
		for _, id := range ids {
			w.await(t, id, running)
		}
		second := w.another(t, 3, "3.9/h")
		w.stopProv()
		for _, id := range ids {
			w.await(t, id, over)
		}
		hidden := func() (first market.NodeID, n int, why string) {
			r := request("plan")
			res, _ := w.cust.Book.Match(&r)
			for _, x := range res.Explanation.Rejected {
				why += x.Text
			}
			if len(res.Candidates) > 0 {
				first = res.Candidates[0].Provider
			}
			return first, len(res.Candidates), why
		}
		check := func(when string) {
			t.Helper()
			first, n, why := hidden()
			if n != 1 || first != second.ph.ID() ||
				!strings.Contains(why, "1 failed two orders lately (provider-silent)") {
				t.Errorf("%s: %d candidates, %q", when, n, why)
			}
		}
		check("at once")
		w.stopCust()
		w.startCustomer(t)
		until(t, "the offers are not known again", func() bool { return len(w.cust.Book.Offers()) == 2 })
		check("after a restart")
		time.Sleep(11 * time.Minute)
		if first, n, why := hidden(); n != 2 || first != second.ph.ID() {
			t.Errorf("after ten minutes: %d candidates, %q", n, why)
		}
	})
}
