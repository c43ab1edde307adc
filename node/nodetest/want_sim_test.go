package nodetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/runtime/spec"
)

// patient is a request that waits for a rig.
func patient(key string, wait time.Duration) customer.Request {
	r := request(key)
	r.File.Limits.Wait = wait
	return r
}

// wants are the bids that a node knows.
func (s *side) wants(t *testing.T) []api.Want {
	t.Helper()
	l, err := s.backend(t).Wants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func waits(v customer.View) bool { return v.Standing == customer.StandingSearching && v.Waits != "" }

// nothingMoved fails if an order that found no rig has touched money.
func (w *world) nothingMoved(t *testing.T, v customer.View, before market.Amount) {
	t.Helper()
	if v.Channel != (market.ChannelID{}) || v.Deposit != 0 || v.Paid != 0 || w.chain.Balance(w.payer) != before ||
		len(w.cust.Channels()) != 0 {
		t.Errorf("money moved: channel %s, deposit %d, paid %d, wallet %d of %d, %d channels", v.Channel, v.Deposit,
			v.Paid, w.chain.Balance(w.payer), before, len(w.cust.Channels()))
	}
}

// TestWant_OrderWaits_ForARigThatGetsFree: an order that would have given up after five minutes waits for a rig that is
// rented for longer, tells the market meanwhile, and is paid like any other.
func TestWant_OrderWaits_ForARigThatGetsFree(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, setup{work: 20 * time.Minute}, func(t *testing.T, w *world) {
		first := request("first")
		first.File.Limits.MaxDuration, first.File.Limits.MaxTotal = 25*time.Minute, 6_000_000_000
		one := w.place(t, first)
		w.await(t, one, running)
		second := patient("second", time.Hour)
		second.File.Limits.MaxDuration, second.File.Limits.MaxTotal = 25*time.Minute, 6_000_000_000
		id := w.place(t, second)
		v := w.await(t, id, waits)
		if !strings.Contains(v.Waits, "rented") || !v.WaitsUntil.Equal(v.Created.Add(time.Hour)) {
			t.Errorf("it waits for %q until %s", v.Waits, v.WaitsUntil)
		}
		until(t, "the rig does not hear of it", func() bool { return len(w.p.wants(t)) == 1 })
		if x := w.p.wants(t)[0]; x.Customer != w.cust.ID().String() || x.Mine || x.Devices != 1 || x.Rig == nil ||
			x.Rig.Serves || x.Rig.Reason != "free" || !slices.Equal(x.Classes, []string{market.ClassCPU}) ||
			x.MaxRate.Lamports() != 4_000_000_000 || !x.Reachable {
			t.Errorf("the rig knows %+v, %+v", x, x.Rig)
		}
		if x := w.c.wants(t); len(x) != 1 || !x[0].Mine || x[0].Rig != nil {
			t.Errorf("the customer knows %+v", x)
		}
		for end := time.Now().Add(30 * time.Minute); time.Now().Before(end) && !w.ended(t, one); {
			time.Sleep(10 * time.Second)
		}
		w.await(t, id, running)
		until(t, "it is wanted still", func() bool { return len(w.p.wants(t)) == 0 })
		for !w.ended(t, id) {
			time.Sleep(30 * time.Second)
		}
		v = w.await(t, id, func(v customer.View) bool { return v.Finished })
		if v.Code != market.CodeCompleted || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit {
			t.Errorf("%s: paid %d, claim %d, returned %d of %d", v.Code, v.Paid, v.Lease.Claim, v.Returned, v.Deposit)
		}
	})
}

func (w *world) ended(t *testing.T, id market.OrderID) bool {
	t.Helper()
	v, err := w.cust.Order(id.String())
	if err != nil {
		t.Fatal(err)
	}
	return over(v)
}

// TestWant_OrderWaits_ARigComes: nobody sells; after some minutes a rig lists itself, and the job runs within seconds.
func TestWant_OrderWaits_ARigComes(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		w.prov.SetSelling(false)
		until(t, "it still sells", func() bool { return len(w.cust.Book.Offers()) == 0 })
		id := w.place(t, patient("a", time.Hour))
		until(t, "the rig does not hear of it", func() bool { return len(w.p.wants(t)) == 1 })
		time.Sleep(20 * time.Minute) // it is renewed meanwhile
		if n := len(w.p.wants(t)); n != 1 || !waits(w.view(t, id)) {
			t.Fatalf("%d wants, %s", n, w.view(t, id).Standing)
		}
		before := w.chain.Balance(w.payout)
		came := time.Now()
		w.prov.SetSelling(true)
		v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
		w.exact(t, v, market.CodeCompleted, before)
		if took := v.ReadyAt.Sub(came); took > 30*time.Second {
			t.Errorf("the job ran %s after its rig was there", took)
		}
	})
}

func (w *world) view(t *testing.T, id market.OrderID) customer.View {
	t.Helper()
	v, err := w.cust.Order(id.String())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestWant_WaitEnds_CostsNothing: an order that asks for what nobody has ends when its time is over, with a code of its
// own and the book's last reason, and leaves neither a deposit nor a channel nor a Want.
func TestWant_WaitEnds_CostsNothing(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payer)
		r := patient("a", 10*time.Minute)
		r.File.GPU = spec.GPU{AnyOf: []string{"h100"}, Count: 1}
		placed := time.Now()
		id := w.place(t, r)
		until(t, "the rig does not hear of it", func() bool { return len(w.p.wants(t)) == 1 })
		if x := w.p.wants(t)[0]; x.Rig.Reason != "class" {
			t.Errorf("the rig says %+v", x.Rig)
		}
		for !w.ended(t, id) {
			time.Sleep(time.Second)
		}
		v := w.view(t, id)
		if v.Code != market.CodeNoRigCame || !strings.Contains(v.Detail, "waited 10m for a rig: ") ||
			!strings.Contains(v.Detail, "without h100") {
			t.Errorf("%s: %s", v.Code, v.Detail)
		}
		if took := time.Since(placed); took < 10*time.Minute || took > 10*time.Minute+2*time.Second {
			t.Errorf("it ended after %s", took)
		}
		w.nothingMoved(t, v, before)
		until(t, "it is wanted still", func() bool { return len(w.p.wants(t)) == 0 })
	})
}

// TestWant_Stopped_IsWithdrawn: who waits no longer is wanted no longer, and a rig that comes then runs nothing.
func TestWant_Stopped_IsWithdrawn(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payer)
		w.prov.SetSelling(false)
		id := w.place(t, patient("a", time.Hour))
		until(t, "the rig does not hear of it", func() bool { return len(w.p.wants(t)) == 1 })
		if err := w.cust.StopOrder(t.Context(), id.String(), false); err != nil {
			t.Fatal(err)
		}
		until(t, "it is wanted still", func() bool { return len(w.p.wants(t)) == 0 })
		w.prov.SetSelling(true)
		time.Sleep(2 * time.Minute)
		v := w.view(t, id)
		if v.Code != market.CodeStopped || len(w.prov.Leases()) != 0 {
			t.Errorf("%s, %d leases", v.Code, len(w.prov.Leases()))
		}
		w.nothingMoved(t, v, before)
	})
}

// TestWant_Private_IsNotTold: an order that keeps to itself what it waits for still gets the rig that comes.
func TestWant_Private_IsNotTold(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		w.prov.SetSelling(false)
		until(t, "it still sells", func() bool { return len(w.cust.Book.Offers()) == 0 })
		r := patient("a", time.Hour)
		r.File.Placement.Want = spec.WantPrivate
		id := w.place(t, r)
		time.Sleep(10 * time.Minute)
		if n := len(w.p.wants(t)); n != 0 || !waits(w.view(t, id)) {
			t.Errorf("%d wants, %s", n, w.view(t, id).Standing)
		}
		w.prov.SetSelling(true)
		if v := w.await(t, id, over); v.Code != market.CodeCompleted {
			t.Errorf("%s: %s", v.Code, v.Detail)
		}
	})
}

// TestWant_CustomerRestarts_WaitsOn: an order waits over a restart of its node, with the same end, under a newer number
// in the same slot; what it does not wait for any more is withdrawn.
func TestWant_CustomerRestarts_WaitsOn(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		w.prov.SetSelling(false)
		id := w.place(t, patient("a", time.Hour))
		other := patient("b", time.Hour)
		other.File.GPU = spec.GPU{AnyOf: []string{"h100"}, Count: 1}
		gone := w.place(t, other)
		until(t, "the rig does not hear of them", func() bool { return len(w.p.wants(t)) == 2 })
		first := w.p.wants(t)
		ends := w.view(t, id).WaitsUntil
		w.stopCust()
		time.Sleep(5 * time.Minute)
		w.startCustomer(t)
		if err := w.cust.StopOrder(t.Context(), gone.String(), false); err != nil {
			t.Fatal(err)
		}
		until(t, "its wait was forgotten", func() bool { return waits(w.view(t, id)) })
		if v := w.view(t, id); !v.WaitsUntil.Equal(ends) {
			t.Errorf("it waits until %s, before until %s", v.WaitsUntil, ends)
		}
		until(t, "its wants are not those of before", func() bool {
			l := w.p.wants(t)
			return len(l) == 1 && l[0].Classes[0] == market.ClassCPU && l[0].ID != first[0].ID && l[0].ID != first[1].ID
		})
		w.prov.SetSelling(true)
		if v := w.await(t, id, over); v.Code != market.CodeCompleted {
			t.Errorf("%s: %s", v.Code, v.Detail)
		}
	})
}

// TestWant_ManyOrders_ShareTheSlots: equal orders are one Want, and no more than eight are told; all of them get a rig.
func TestWant_ManyOrders_ShareTheSlots(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		w.prov.SetSelling(false)
		var ids []market.OrderID
		for i := range 12 {
			r := patient("order "+string(rune('a'+i)), 6*time.Hour)
			if i > 2 { // the first three are the same
				r.File.Limits.MaxRate -= market.Rate(i) * 1_000_000
			}
			ids = append(ids, w.place(t, r))
		}
		until(t, "they are not told", func() bool { return len(w.p.wants(t)) == market.WantSlots })
		time.Sleep(time.Minute)
		if n := len(w.p.wants(t)); n != market.WantSlots {
			t.Errorf("%d wants", n)
		}
		w.prov.SetSelling(true)
		for _, id := range ids {
			if v := w.await(t, id, over); v.Code != market.CodeCompleted {
				t.Errorf("%s: %s", v.Code, v.Detail)
			}
		}
	})
}
