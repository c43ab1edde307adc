package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestSim_Cap_LastsAsLongAsSaid: a job is told to stop when its cap says so, grace included, and not before; a cap that pays for no work is
// refused before anything is deposited.
func TestSim_Cap_LastsAsLongAsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cap         market.Amount
		grace, runs time.Duration
	}{
		"grace inside": {100 * second, 30 * time.Second, 70 * time.Second},
		"half of it":   {40 * second, 30 * time.Second, 20 * time.Second},
		"no grace":     {25 * second, 0, 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs, grace := market.CapTime(3_600_000_000, 1, c.cap, 10*time.Minute, c.grace)
			if runs != c.runs || runs+grace != time.Duration(c.cap/second)*time.Second {
				t.Fatalf("%s and %s of grace", runs, grace)
			}
			simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
				r := request("capped")
				r.MaxTotal, r.StopGrace = c.cap, c.grace
				v := w.await(t, w.place(t, r), over)
				if got := time.Duration(v.Lease.ClaimMS) * time.Millisecond; v.Code != "cap-reached" || got < runs || got > runs+grace {
					t.Errorf("%s after %s, %s were said, with %s of grace", v.Code, got, runs, grace)
				}
			})
		})
	}
	t.Run("no tick", func(t *testing.T) {
		t.Parallel()
		simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
			before := w.chain.Balance(w.payer)
			r := request("nothing")
			r.MaxTotal = 15 * second
			v := w.await(t, w.place(t, r), over)
			if v.Code != "cap-too-small" || w.chain.Balance(w.payer) != before {
				t.Errorf("%s %s, the wallet has %d less", v.Code, v.Detail, before-w.chain.Balance(w.payer))
			}
			r.Key, r.MaxTotal = "hint", 40*second+1 // what the refusal names: a tick and the grace
			if v := w.await(t, w.place(t, r), over); v.Code != "cap-reached" {
				t.Errorf("%s %s", v.Code, v.Detail)
			}
		})
	})
}

// TestSim_Estimate_IsWhatIsTaken: what a plan says about deposit and claim fee is what the order then takes; on an open channel it takes nothing.
func TestSim_Estimate_IsWhatIsTaken(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		r := long()
		r.KeepChannel = true
		res, _ := w.cust.Match(&r)
		e := w.cust.Estimate(t.Context(), &r, res.Candidates[0], 1)
		v := w.await(t, w.place(t, r), over)
		if !e.Quoted || e.Reuses || e.Deposit != v.Deposit || e.ClaimFee != v.Costs.ClaimFee || e.Hold != w.pc.Hold {
			t.Errorf("%+v, taken: deposit %d, costs %+v", e, v.Deposit, v.Costs)
		}
		time.Sleep(time.Minute) // it is final
		r.Key = "again"
		res, _ = w.cust.Match(&r)
		e = w.cust.Estimate(t.Context(), &r, res.Candidates[0], 1)
		before := w.chain.Balance(w.payer)
		v = w.await(t, w.place(t, r), func(v customer.View) bool { return running(v) || over(v) })
		if !e.Reuses || e.Deposit != 0 || w.chain.Balance(w.payer) != before {
			t.Errorf("%+v, taken: %d; %+v", e, before-w.chain.Balance(w.payer), v.Steps)
		}
	})
}
