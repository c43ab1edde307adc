package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
)

// TestWithdraw_All_LeavesTheFeesOfChannels: who takes all out while a job is paid from a channel keeps what its end
// costs, so that the rest of the deposit comes home; a second one finds nothing that is free; once no channel is left,
// all goes. The same key sends once.
func TestWithdraw_All_LeavesTheFeesOfChannels(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 40 * time.Second}, func(t *testing.T, w *world) {
		id := w.place(t, request("goes on"))
		w.await(t, id, running)
		b, to := w.c.backend(t), addr("elsewhere")
		all := api.Withdrawal{Key: "one", To: to.String(), All: true}
		tr, err := b.Withdraw(t.Context(), all)
		if err != nil || tr.Channels != 1 || tr.Kept.Lamports() == 0 || tr.Amount.Lamports() != w.chain.Balance(to) {
			t.Fatalf("%+v, %v; %d arrived", tr, err, w.chain.Balance(to))
		}
		if rest := w.chain.Balance(w.payer); rest < tr.Kept.Lamports() {
			t.Errorf("%d are left, less than the %d that it keeps", rest, tr.Kept.Lamports())
		}
		if again, err := b.Withdraw(t.Context(), all); err != nil || again.Tx != tr.Tx ||
			w.chain.Balance(to) != tr.Amount.Lamports() {
			t.Errorf("the same key: %+v, %v; %d arrived", again, err, w.chain.Balance(to))
		}
		all.Key = "two"
		if tr, err := b.Withdraw(t.Context(), all); market.CodeOf(err) != market.CodeFundsShort {
			t.Errorf("a second one: %+v, %v", tr, err)
		}
		v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
		if v.Code != market.CodeCompleted || v.Returned == 0 {
			t.Errorf("%s %s, %d came home", v.Code, v.Detail, v.Returned)
		}
		w.left(t)
		until(t, "the channel stays", func() bool { return len(w.cust.Held()) == 0 })
		all.Key = "three"
		if tr, err := b.Withdraw(t.Context(), all); err != nil || tr.Channels != 0 || w.chain.Balance(w.payer) != 0 {
			t.Errorf("of a wallet without channels: %+v, %v; %d are left", tr, err, w.chain.Balance(w.payer))
		}
	})
}
