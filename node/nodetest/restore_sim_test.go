package nodetest

import (
	"os"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
)

// restoreSide is a side whose store is put back while its role is down.
type restoreSide struct {
	name        string
	store       func(*world) **store.Store
	stop, start func(*world, *testing.T)
}

var restoreSides = map[string]restoreSide{
	"provider": {"p", func(w *world) **store.Store { return &w.pstore }, func(w *world, _ *testing.T) { w.stopProv() },
		(*world).startProvider},
	"customer": {"c", func(w *world) **store.Store { return &w.cstore }, func(w *world, _ *testing.T) { w.stopCust() },
		(*world).startCustomer},
}

// copyOf keeps the store's file as it is now, with the role down for it, and returns what goes on from that copy.
func (s restoreSide) copyOf(t *testing.T, w *world) (putBack func()) {
	t.Helper()
	reopen := func(change func()) {
		s.stop(w, t)
		if err := (*s.store(w)).Close(); err != nil {
			t.Fatal(err)
		}
		change()
		*s.store(w) = w.openStore(t, s.name)
		s.start(w, t)
	}
	var old []byte
	reopen(func() {
		var err error
		if old, err = os.ReadFile(w.files[s.name]); err != nil {
			t.Fatal(err)
		}
	})
	return func() {
		t.Helper()
		reopen(func() {
			if err := os.WriteFile(w.files[s.name], old, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// known makes the customer one that has paid this provider before, so that nothing is paid ahead.
func (w *world) known(t *testing.T) {
	t.Helper()
	w.engine.SetWork(20 * time.Second)
	if v := w.await(t, w.place(t, request("known")),
		func(v customer.View) bool { return over(v) && v.Finished }); v.Code != market.CodeCompleted {
		t.Fatalf("%s %s", v.Code, v.Detail)
	}
}

// settledCleanly fails unless the order ended as code and both sides agree: the money is home, nothing is owed, the
// next order is taken.
func (w *world) settledCleanly(t *testing.T, id market.OrderID, code market.Code) {
	t.Helper()
	v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
	if v.Code != code || v.Paid+v.Returned != v.Deposit {
		t.Errorf("%s %s %s, want %s: paid %d, returned %d of %d; %+v", v.Standing, v.Code, v.Detail, code, v.Paid,
			v.Returned, v.Deposit, v.Steps)
	}
	if n := w.engine.Started(); n != 2 { // known's and this one
		t.Errorf("%d jobs were started", n)
	}
	w.freeAgain(t, 1)
	w.engine.SetWork(time.Second)
	next := w.await(t, w.place(t, request("next")), over)
	if next.Code != market.CodeCompleted {
		t.Errorf("the next order: %s %s", next.Code, next.Detail)
	}
}

// TestRestore_LiveLease_GoesOn puts the store of one side back by seconds under a running job: it goes on, nobody is
// blamed, and the sum is at most what ran and at least what ran less the time that was lost.
func TestRestore_LiveLease_GoesOn(t *testing.T) {
	t.Parallel()
	for side, s := range restoreSides {
		for _, age := range []time.Duration{2 * time.Second, 8 * time.Second, 60 * time.Second} {
			for _, away := range []time.Duration{0, 15 * time.Minute} {
				t.Run(side+" "+age.String()+" away "+away.String(), func(t *testing.T) {
					t.Parallel()
					simulate(t, setup{}, func(t *testing.T, w *world) {
						w.known(t)
						w.engine.SetWork(3 * time.Minute)
						r := request("restore")
						r.File.Limits.Away = away
						id := w.place(t, r)
						w.await(t, id, running)
						time.Sleep(20 * time.Second)
						putBack := s.copyOf(t, w)
						time.Sleep(age)
						putBack()
						w.settledCleanly(t, id, market.CodeCompleted)
						v, err := w.cust.Order(id.String())
						if err != nil {
							t.Fatal(err)
						}
						if v.Paid > 180*second+second/4 ||
							v.Paid < 180*second-second*market.Amount(age/time.Second)-tickPrice {
							t.Errorf("paid %d for 3 minutes with a store %s old", v.Paid, age)
						}
					})
				})
			}
		}
	}
}

// TestRestore_OtherStates_EndCleanly puts a store back to another state of the lease than the other side is in.
func TestRestore_OtherStates_EndCleanly(t *testing.T) {
	t.Parallel()
	states := map[string]struct{ at, until market.LeaseState }{
		"preparing to running": {market.Preparing, market.Running},
		"running to closing":   {market.Running, market.Closing},
		"running to ended":     {market.Running, market.Ended},
		"closing to ended":     {market.Closing, market.Ended},
	}
	for side, s := range restoreSides {
		for name, st := range states {
			t.Run(side+" "+name, func(t *testing.T) {
				t.Parallel()
				simulate(t, setup{}, func(t *testing.T, w *world) {
					w.known(t)
					w.engine.SetWork(25 * time.Second)
					w.engine.Hold(st.at == market.Preparing)
					w.sw.noOutcome.Store(st.at == market.Closing || st.until == market.Closing)
					id := w.place(t, request("restore"))
					v := w.await(t, id, in(st.at))
					until(t, "the provider is not as far", func() bool { return w.sold(t, v).State == st.at })
					putBack := s.copyOf(t, w)
					w.engine.Hold(false)
					w.sw.noOutcome.Store(st.until == market.Closing)
					w.await(t, id, in(st.until))
					if st.until == market.Running {
						time.Sleep(8 * time.Second)
					}
					putBack()
					w.sw.noOutcome.Store(false)
					until(t, "the order is lost",
						func() bool { _, err := w.cust.Order(id.String()); return err == nil })
					end := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
					if end.Paid+end.Returned != end.Deposit || end.Code == market.CodeMeterDispute {
						t.Errorf("%s %s: paid %d, returned %d of %d; %+v", end.Code, end.Detail, end.Paid, end.Returned,
							end.Deposit, end.Steps)
					}
					w.engine.SetWork(time.Second)
					until(t, "the customer is shut out", func() bool {
						next := w.await(t, w.place(t, request("next "+time.Now().String())), over)
						return next.Code == market.CodeCompleted
					})
				})
			})
		}
	}
}

// TestRestore_LeaseForgotten_EndsAndRefunds: a provider whose store is of before the lease cannot go on; the customer
// learns it from its word, and has its money at once.
func TestRestore_LeaseForgotten_EndsAndRefunds(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		w.known(t)
		w.engine.SetWork(time.Hour)
		putBack := restoreSides["provider"].copyOf(t, w)
		id := w.place(t, request("forgotten"))
		w.await(t, id, running)
		putBack()
		within(t, "the money is not back", 3*time.Minute, func() bool {
			v, err := w.cust.Order(id.String())
			return err == nil && v.Finished && v.Paid+v.Returned == v.Deposit
		})
	})
}
