package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// spent sums what the customer's books say: what is gone for good, and what is held but comes back, or becomes due.
func (w *world) spent() (gone, held market.Amount) {
	due := map[market.ChannelID]market.Amount{}
	for _, v := range w.orders() {
		paid := v.Paid
		if !v.Finished {
			paid = 0
			if v.Lease != nil {
				paid = v.Lease.Cost()
			}
			due[v.Channel] += paid
		}
		gone += paid + v.Costs.Network + v.Costs.ClaimFee
		held += v.Costs.Storage
	}
	for _, ch := range w.cust.Channels() {
		if a := ch.Account; a.Phase >= escrow.PhaseSeen && a.Phase <= escrow.PhaseSealed {
			held += a.Seen - min(max(a.Settled, due[ch.ID])+ch.Returned, a.Seen)
		}
	}
	return gone, held
}

// TestSim_Costs_AddUpToTheWallet: orders that end, never start, are stopped, share a kept channel and top it up: what
// each of them cost, with every transaction's fee, and what is still held, is what the wallet has less, to the lamport,
// also across restarts; at the end nothing is held.
func TestSim_Costs_AddUpToTheWallet(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 100 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payer)
		check := func(when string) {
			t.Helper()
			gone, held := w.spent()
			if less := before - w.chain.Balance(w.payer); less != gone+held {
				t.Errorf("%s: the wallet has %d less; gone %d, held %d", when, less, gone, held)
			}
		}
		stop := func(id market.OrderID) customer.View {
			t.Helper()
			if err := w.cust.StopOrder(context.Background(), id.String(), false); err != nil {
				t.Fatal(err)
			}
			v := w.await(t, id, over)
			check("stopped " + v.Request.Key)
			return v
		}
		r := long()
		r.Key, r.Image.Ref = "missing", "missing"
		v := w.await(t, w.place(t, r), over)
		check("an order that never started")
		if v.Paid != 0 || v.Costs.Network != 15_000 || v.Costs.ClaimFee == 0 || v.Costs.Storage == 0 {
			t.Errorf("an order that never started paid %d, costs %+v", v.Paid, v.Costs)
		}
		r = long()
		r.Key = "stopped"
		id := w.place(t, r)
		w.await(t, id, running)
		time.Sleep(3 * time.Minute)
		check("while it runs")
		stop(id)
		r = long()
		r.Key, r.KeepChannel = "kept", true
		id = w.place(t, r)
		w.await(t, id, running)
		time.Sleep(time.Minute)
		v = stop(id)
		if v.Finished {
			t.Fatal("the channel was not kept")
		}
		r = long()
		r.Key, r.KeepChannel = "kept and topped up", true
		id = w.place(t, r)
		w.await(t, id, running)
		time.Sleep(75 * time.Minute) // the deposit is down to a fifth after 70
		check("topped up")
		w.stopCust()
		w.startCustomer(t)
		again := w.await(t, id, running)
		check("after a restart")
		if again.Channel != v.Channel || again.Costs.ClaimFee != 0 || again.Costs.Network != 10_000 ||
			again.Costs.Storage != 0 {
			t.Errorf("channel %s was %s, the second order on it costs %+v", again.Channel, v.Channel, again.Costs)
		}
		stop(id)
		if err := w.cust.CloseChannel(context.Background(), v.Channel); err != nil {
			t.Fatal(err)
		}
		check("closed")
		time.Sleep(25 * time.Minute) // the program's window
		check("at the end")
		if _, held := w.spent(); held != 0 {
			t.Errorf("%d are still held", held)
		}
	})
}

// TestSim_Paid_NeverFalls: what a job has cost grows with its meter, however much is signed ahead, and ends where it
// stood.
func TestSim_Paid_NeverFalls(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		id := w.place(t, long())
		w.await(t, id, running)
		last, ahead := market.Amount(0), false
		look := func(v customer.View) market.Amount {
			if v.Finished {
				return v.Paid
			}
			return v.Lease.Cost()
		}
		for range 60 {
			time.Sleep(5 * time.Second)
			v := w.await(t, id, running)
			if now := look(v); now < last || now > w.sold(t, v).Owed() {
				t.Fatalf("paid %d after %d, owed %d", now, last, w.sold(t, v).Owed())
			} else {
				last = now
			}
			ahead = ahead || v.Lease.Ahead() > 100*second
			if risk, runs := v.Lease.Asleep(); risk < v.Lease.Ahead() ||
				time.Duration(risk/second)*time.Second > runs+w.pc.Tick {
				t.Fatalf("%d at risk last %s, %d are signed ahead", risk, runs, v.Lease.Ahead())
			}
		}
		if err := w.cust.StopOrder(context.Background(), id.String(), false); err != nil {
			t.Fatal(err)
		}
		v := w.await(t, id, func(v customer.View) bool {
			if now := look(v); now < last {
				t.Errorf("paid %d after %d in %s", now, last, v.Lease.State)
			} else {
				last = now
			}
			return v.Finished
		})
		if !ahead || v.Paid != v.Lease.Claim {
			t.Errorf("ahead: %v, paid %d, claim %d", ahead, v.Paid, v.Lease.Claim)
		}
	})
}

// TestSim_Asleep_RunsAsLongAsSaid: a customer that sleeps has its job run on for as long as its order says, within half
// a tick, then it waits.
func TestSim_Asleep_RunsAsLongAsSaid(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: time.Hour, change: nil}, func(t *testing.T, w *world) {
		r := long()
		r.File.Limits.Away = 3 * time.Minute
		id := w.place(t, r)
		w.await(t, id, running)
		time.Sleep(4 * time.Minute)
		v := w.await(t, id, running)
		_, runs := v.Lease.Asleep()
		start := w.sold(t, v).Owed()
		w.sim.Off(w.ch)
		until(t, "the job is never paused", func() bool { return w.sold(t, v).State == market.Paused })
		ran := time.Duration((w.sold(t, v).Owed()-start)/second) * time.Second
		if ran > runs+w.pc.Tick/2 || ran+w.pc.Tick < runs {
			t.Errorf("it ran %s, %s were said", ran, runs)
		}
		w.sim.Heal()
	})
}
