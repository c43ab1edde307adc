package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// closeDelay is what the customer's channels are opened with.
const closeDelay = time.Hour

// closing reports that the chain was asked for the channel's money.
func (w *world) closing(id market.ChannelID) bool {
	// the ledger is in memory
	s, err := w.chain.Ledger(w.payer).Channels(context.Background(), []market.ChannelID{id}, escrow.Confirmed)
	return err == nil && s[0].Status != escrow.StatusOpen
}

// within fails unless ok comes true in d of virtual time.
func within(t *testing.T, what string, d time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, d)
		}
	}
}

// moneyBack waits for the close delay and fails unless what was deposited is with the provider, for what it is owed, or
// back.
func (w *world) moneyBack(t *testing.T, id market.OrderID) customer.View {
	t.Helper()
	time.Sleep(time.Minute) // the provider, where it lives, sees the close
	w.chain.Advance(closeDelay)
	v := w.await(t, id, func(v customer.View) bool { return v.Finished })
	if v.Deposit == 0 || v.Paid+v.Returned != v.Deposit {
		t.Errorf("paid %d, returned %d of %d", v.Paid, v.Returned, v.Deposit)
	}
	return v
}

// TestSilent_Bound_HalfAnHourAndOneCloseDelay: a provider that vanishes in whatever state of the lease costs its
// customer at most the silent end and one close delay; nobody has to do anything.
func TestSilent_Bound_HalfAnHourAndOneCloseDelay(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	states := map[string]struct {
		before func(*world)
		at     market.LeaseState
	}{
		"preparing": {func(w *world) { w.engine.Hold(true) }, market.Preparing},
		"running":   {func(*world) {}, market.Running},
		"paused":    {func(w *world) { w.sw.noPay.Store(true) }, market.Paused},
		"closing": {func(w *world) { w.sw.noOutcome.Store(true); w.engine.SetWork(20 * time.Second) },
			market.Closing},
	}
	for name, st := range states {
		end := 3 * time.Minute // or all of them take half an hour
		if name == "running" {
			end = 30 * time.Minute
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup{work: 3 * time.Hour, change: func(_ *provider.Config, c *customer.Config) {
				if name != "running" {
					c.SilentEnd = end
				}
			}}
			simulate(t, s, func(t *testing.T, w *world) {
				st.before(w)
				r := long()
				r.File.Limits.MaxDuration = 4 * time.Hour
				id := w.place(t, r)
				v := w.await(t, id, in(st.at))
				w.stopProv()
				time.Sleep(end - time.Minute)
				within(t, "the money is not asked back", 3*time.Minute, func() bool { return w.closing(v.Channel) })
				w.moneyBack(t, id)
			})
		})
	}
}

// TestSilent_Stop_AsksTheMoneyBackAtOnce: the user does not wait for the silent end: stop, and closing the channel, end
// the wait.
func TestSilent_Stop_AsksTheMoneyBackAtOnce(t *testing.T) {
	t.Parallel()
	acts := map[string]func(t *testing.T, w *world, v customer.View){
		"stop": func(t *testing.T, w *world, v customer.View) {
			if err := w.cust.StopOrder(t.Context(), v.ID.String(), false); err != nil {
				t.Error(err)
			}
		},
		"channel close": func(t *testing.T, w *world, v customer.View) {
			if err := w.cust.GiveUp(t.Context(), v.Channel); err != nil {
				t.Error(err)
			}
			if err := w.cust.CloseChannel(t.Context(), v.Channel); market.CodeOf(err) != market.CodeChannelClosing {
				t.Errorf("close says %v", err)
			}
		},
	}
	for name, act := range acts {
		for state, ready := range map[string]bool{"running": true, "preparing": false} {
			t.Run(name+" "+state, func(t *testing.T) {
				t.Parallel()
				simulate(t, setup{work: 3 * time.Hour}, func(t *testing.T, w *world) {
					w.engine.Hold(!ready)
					r := long()
					id := w.place(t, r)
					w.await(t, id, func(v customer.View) bool {
						return running(v) ||
							!ready && in(market.Preparing)(v)
					})
					w.stopProv()
					v := w.await(t, id, in(market.Silent))
					act(t, w, v)
					within(t, "the money is not asked back", time.Minute, func() bool { return w.closing(v.Channel) })
					if v = w.await(t, id, over); v.Code == "" || v.Standing != customer.StandingEnded {
						t.Errorf("%s %s", v.Standing, v.Code)
					}
					w.moneyBack(t, id)
				})
			})
		}
	}
}

// TestSilent_BackLater_BothEndCleanly: a provider that comes back after its customer has let the money go gets what it
// worked for, keeps no debt, and gets nothing twice; the outputs come home.
func TestSilent_BackLater_BothEndCleanly(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	s := setup{work: 3 * time.Hour,
		change: func(_ *provider.Config, c *customer.Config) { c.SilentEnd = 5 * time.Minute }}
	simulate(t, s, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		r := request("partition")
		r.File.Limits.MaxDuration = 4 * time.Hour
		id := w.place(t, r)
		v := w.await(t, id, running)
		time.Sleep(time.Minute)
		w.sw.cutOff(true)
		v = w.await(t, id, in(market.Silent))
		within(t, "the money is not asked back", 6*time.Minute, func() bool { return w.closing(v.Channel) })
		w.sw.cutOff(false)
		v = w.await(t, id, in(market.Ended))
		m := w.sold(t, v)
		if m.Debt != 0 || m.Paid < m.Owed() {
			t.Errorf("the provider is owed %d, paid %d, debt %d", m.Owed(), m.Paid, m.Debt)
		}
		if !v.OutputsReady {
			t.Error("the outputs did not come")
		}
		// by its Release, before the close delay is over
		v = w.await(t, id, func(v customer.View) bool { return v.Finished })
		if v.Paid+v.Returned != v.Deposit {
			t.Errorf("paid %d, returned %d of %d", v.Paid, v.Returned, v.Deposit)
		}
		if got := w.chain.Balance(w.payout) - before; got != v.Paid || got < m.Owed()-tickPrice || got > m.Paid {
			t.Errorf("payout got %d of %d that are owed; paid %d", got, m.Owed(), v.Paid)
		}
	})
}

// TestSilent_CustomerRestarts_WaitsOn: a node that restarts after it let the money go still brings it home, and still
// settles with a provider that comes back.
func TestSilent_CustomerRestarts_WaitsOn(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 3 * time.Hour}, func(t *testing.T, w *world) {
		r := long()
		r.File.Limits.MaxDuration = 4 * time.Hour
		id := w.place(t, r)
		w.await(t, id, running)
		w.sw.cutOff(true)
		w.await(t, id, in(market.Silent))
		if err := w.cust.StopOrder(t.Context(), id.String(), true); err != nil {
			t.Fatal(err)
		}
		w.await(t, id, over)
		w.stopCust()
		w.sw.cutOff(false)
		w.startCustomer(t)
		v := w.await(t, id, in(market.Ended))
		if m := w.sold(t, v); m.Debt != 0 || m.Paid < m.Owed() {
			t.Errorf("the provider is owed %d, paid %d, debt %d", m.Owed(), m.Paid, m.Debt)
		}
		w.moneyBack(t, id)
	})
}
