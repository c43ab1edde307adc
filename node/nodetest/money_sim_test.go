package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// TestSim_InflatedEnd_TakesNoMoreThanIsSigned: a provider that claims ten times its work with the last receipt, in its
// outcome and in its release gets what the customer has signed, and not what it asks for; the rest comes back after the
// close delay.
func TestSim_InflatedEnd_TakesNoMoreThanIsSigned(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 2 * time.Minute}, func(t *testing.T, w *world) {
		const ms, claimed = 20 * 60_000, 20 * 60 * second
		key, err := escrow.NewKeys(w.pc.Seed).Release(w.chain.ClusterTag(), w.ch.ID(), w.payout, market.Address{})
		if err != nil {
			t.Fatal(err)
		}
		w.sw.lie.Store(&lies{
			key: w.pc.Key, network: w.pc.Network,
			claim: func(r *market.Receipt) {
				if r.Final {
					r.BillableMS, r.Amount = ms, claimed
				}
			},
			outcome: func(o *market.Outcome) { o.BillableMS, o.Amount = ms, claimed },
			release: func(ch market.ChannelID) [114]byte {
				head, err := w.wallet.Head(t.Context())
				if err != nil {
					t.Error(err)
				}
				return escrow.Release{Channel: ch, Final: claimed,
					Expires: head.Clock.Add(10 * time.Minute).Unix()}.Sign(key).Wire()
			},
		})
		before := w.chain.Balance(w.payout)
		r := long()
		r.File.Limits.Away = 0
		id := w.place(t, r)
		v := w.await(t, id, func(v customer.View) bool { return v.Lease != nil && v.Lease.Claim == claimed })
		if v.Deposit < claimed {
			t.Fatalf("a deposit of %d does not tempt", v.Deposit)
		}
		v = w.await(t, id, over)
		if v.Signed > 140*second || v.BothSigned && v.Lease.OutcomeDone {
			t.Errorf("%d are signed for 2 minutes; outcome agreed: %v", v.Signed, v.Lease.OutcomeDone)
		}
		time.Sleep(70 * time.Minute) // the close delay
		v = w.await(t, id, func(v customer.View) bool { return v.Finished })
		if got := w.chain.Balance(w.payout) - before; got > v.Signed || got != v.Paid ||
			v.Paid+v.Returned != v.Deposit {
			t.Errorf("the provider got %d of %d that were signed; paid %d, returned %d of %d", got, v.Signed, v.Paid,
				v.Returned, v.Deposit)
		}
	})
}

// TestSim_PlacedAgainAtTheStart_SameOrder: who repeats its request while the node starts gets the order that the store
// holds, and that order keeps its lease.
func TestSim_PlacedAgainAtTheStart_SameOrder(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 2 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, long())
		v := w.await(t, id, running)
		w.stopCust()
		w.startCustomer(t)
		if again := w.place(t, long()); again != id {
			t.Errorf("order %s, placed again %s", id, again)
		}
		time.Sleep(3 * time.Minute)
		end := w.await(t, id, over)
		w.exact(t, end, market.CodeCompleted, before)
		if n := len(w.orders()); n != 1 || end.Lease.ID != v.Lease.ID || w.engine.Started() != 1 {
			t.Errorf("%d orders, lease %s was %s, %d jobs started", n, end.Lease.ID, v.Lease.ID, w.engine.Started())
		}
	})
}

// TestSim_LedgerStandsStill_WorkStops: a ledger that answers and does not follow hides a close as well as one that is
// silent: the job pauses before the close delay could be over, and goes on when the view is fresh again.
func TestSim_LedgerStandsStill_WorkStops(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		id := w.place(t, long())
		v := w.await(t, id, running)
		time.Sleep(time.Minute) // the deposit is final
		w.chain.Stall(true)
		time.Sleep(40 * time.Minute)
		if m := w.sold(t, v); m.State != market.Running {
			t.Errorf("after 40 minutes the job is %s %s", m.State, m.Cause)
		}
		time.Sleep(6 * time.Minute)
		if m := w.sold(t, v); m.State != market.Paused || m.Cause != market.CauseChain {
			t.Errorf("after 46 minutes of an hour's delay the job is %s %s", m.State, m.Cause)
		}
		w.chain.Stall(false)
		until(t, "the job does not go on", func() bool { return w.sold(t, v).State == market.Running })
	})
}

// TestSim_ClosedWhileAway_JobEnds: a provider that comes back to a channel which was closed and sealed meanwhile works
// no more for vouchers that nobody redeems, however far ahead they pay.
func TestSim_ClosedWhileAway_JobEnds(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 2 * time.Hour}, func(t *testing.T, w *world) {
		v := w.await(t, w.place(t, long()), running)
		time.Sleep(4 * time.Minute) // 15 minutes are signed ahead
		m := w.sold(t, v)
		w.stopProv()
		w.stopCust()
		for _, in := range []escrow.Intent{{Op: escrow.OpRequestClose, Channel: v.Channel},
			{Op: escrow.OpFinish, Channel: v.Channel}} {
			if err := w.wallet.Submit(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			w.chain.Advance(61 * time.Minute)
		}
		w.startProvider(t)
		time.Sleep(5 * time.Second)
		if now := w.sold(t, v); now.State.Live() || now.Code != market.CodeChannelClosing ||
			now.Owed() > m.Owed()+tickPrice {
			t.Errorf("the job is %s %s, owes %d of %d before", now.State, now.Code, now.Owed(), m.Owed())
		}
	})
}

// TestSim_LedgerForgetsAChannel_ItIsLookedForAgain: an endpoint that says a channel is absent, although nobody saw it
// paid out, is not believed for ever: the money in it would be.
func TestSim_LedgerForgetsAChannel_ItIsLookedForAgain(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		v := w.doneAndKept(t)
		w.stopCust()
		w.sw.noChannels.Store(true)
		w.startCustomer(t)
		until(t, "the absent channel is not noticed", func() bool {
			c := w.cust.Channels()
			return len(c) == 1 && c[0].Account.Phase == escrow.PhaseGone
		})
		w.sw.noChannels.Store(false)
		until(t, "the channel is not found again",
			func() bool { return w.cust.Channels()[0].Account.Phase != escrow.PhaseGone })
		if err := w.cust.CloseChannel(t.Context(), v.Channel); err != nil {
			t.Fatal(err)
		}
		w.back(t, "the money does not come back", 1)
	})
}

// TestSim_TopUps_CarryALongJob: a job that costs several deposits ends by itself, also when the chain does not take a
// top-up at first.
func TestSim_TopUps_CarryALongJob(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 2 * time.Hour}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		w.sw.failTopUps.Store(2)
		r := long()
		r.File.Limits.MaxDuration = 3 * time.Hour
		id := w.place(t, r)
		time.Sleep(2*time.Hour + time.Minute)
		w.exact(t, w.await(t, id, over), market.CodeCompleted, before)
	})
}

// TestSim_AwayAllowance_OncePerChannel: what an ended job has signed ahead on a kept channel is not allowed a second
// time to the next one.
func TestSim_AwayAllowance_OncePerChannel(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 4 * time.Minute,
		change: func(_ *provider.Config, c *customer.Config) { c.AwayMax = 100 * second }},
		func(t *testing.T, w *world) {
			// or the second lease is refused: the claims of the first one have used the fee up
			w.chain.Fund(w.feePayer, 1_000_000_000)
			r := long()
			r.KeepChannel = true
			id := w.place(t, r)
			time.Sleep(5 * time.Minute)
			first := w.await(t, id, over)
			ahead := first.Signed - first.Lease.Claim
			if first.Code != market.CodeCompleted || ahead == 0 {
				t.Fatalf("%s %s: %d signed, %d owed", first.Code, first.Detail, first.Signed, first.Lease.Claim)
			}
			r.Key = "second"
			second := w.await(t, w.place(t, r), running)
			if got := second.Lease.Terms.AwayMax; second.Channel != first.Channel || got != w.cc.AwayMax-ahead {
				t.Errorf("%d may be signed ahead beside the %d that are, of %d", got, ahead, w.cc.AwayMax)
			}
		})
}

// TestSim_Claims_OncePerSum: while a claim is not final yet, the next voucher is not claimed beside it: each claim
// costs its fee.
func TestSim_Claims_OncePerSum(t *testing.T) {
	simulate(t, setup{work: 10 * time.Minute}, func(t *testing.T, w *world) {
		w.chain.Fund(w.feePayer, 1_000_000_000)
		r := long()
		r.File.Limits.Away = 0
		id := w.place(t, r)
		w.await(t, id, running)
		before := w.chain.Balance(w.feePayer)
		time.Sleep(9 * time.Minute)
		// 540 s of 0.001 SOL make five claims of 0.1 SOL, of two signatures each.
		if spent := before - w.chain.Balance(w.feePayer); uint64(spent) > 5*2*escrow.FeePerSignature {
			t.Errorf("%d lamports of fees for 0.54 SOL", spent)
		}
	})
}
