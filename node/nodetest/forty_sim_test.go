package nodetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// twenty is a rig of twenty CPU slots that forty small orders fit but for the slots.
func twenty(work time.Duration) setup {
	return setup{work: work, devices: 20, change: func(p *provider.Config, _ *customer.Config) {
		// at a high rate its claims use the fee account up
		p.Lent.CPUMilli, p.Lent.RAM, p.Lent.Disk, p.Policy.Rate = 20_000, 40<<30, 80<<30, 36_000_000
	}}
}

// small is an order for one of twenty slots.
func small(i int) customer.Request {
	r := request(fmt.Sprintf("small-%d", i))
	r.File.Limits.MaxTotal, r.File.Limits.MaxDuration = 10_000_000_000, 2*time.Hour
	return r
}

// settledAll waits until each channel is paid out, and fails unless the chain's sums are those of the orders.
func (w *world) settledAll(t *testing.T, ids []market.OrderID, payout, wallet market.Amount) {
	t.Helper()
	until(t, "a channel keeps its money", func() bool {
		for _, ch := range w.cust.Channels() {
			if ch.Paid+ch.Returned == 0 {
				return false
			}
		}
		return true
	})
	var paid market.Amount
	for _, id := range ids {
		v, err := w.cust.Order(id.String())
		if err != nil {
			t.Fatal(err)
		}
		if v.Lease != nil && v.Paid != v.Lease.Claim {
			t.Errorf("order %s paid %d of %d", id, v.Paid, v.Lease.Claim)
		}
		paid += v.Paid
	}
	if got := w.chain.Balance(w.payout) - payout; got != paid {
		t.Errorf("the payout got %d, the orders paid %d", got, paid)
	}
	// fees and rents
	if spent := wallet - w.chain.Balance(w.payer); spent < paid ||
		spent-paid > 10_000_000*market.Amount(len(w.cust.Channels())) {
		t.Errorf("the wallet spent %d for %d", spent, paid)
	}
}

// TestSim_FortyOrders_TwentyDevices: twenty run at once, twenty wait for them, all end well, on two channels at the
// most, and nothing is left.
func TestSim_FortyOrders_TwentyDevices(t *testing.T) {
	t.Parallel()
	simulate(t, twenty(time.Minute), func(t *testing.T, w *world) {
		payout, wallet := w.chain.Balance(w.payout), w.chain.Balance(w.payer)
		var ids []market.OrderID
		for i := range 40 {
			ids = append(ids, w.place(t, small(i)))
		}
		runningNow := func() (n int) {
			for _, id := range ids {
				if v, err := w.cust.Order(id.String()); err == nil && in(market.Running)(v) {
					n++
				}
			}
			return n
		}
		start := time.Now()
		until(t, "twenty do not run at once", func() bool { return runningNow() == 20 })
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("twenty run only after %s", d)
		}
		for i, id := range ids {
			if v := w.await(t, id, over); v.Code != market.CodeCompleted {
				t.Errorf("order %d: %s %s %s; %+v", i, v.Standing, v.Code, v.Detail, v.Steps)
			}
		}
		if list := w.cust.Channels(); len(list) > 2 {
			t.Errorf("%d channels for forty orders", len(list))
			for _, id := range ids {
				v, _ := w.cust.Order(id.String())
				t.Logf("%s on %s: %+v", id, v.Channel, v.Steps)
			}
		}
		if n := w.engine.Started(); n != 40 {
			t.Errorf("%d jobs were started", n)
		}
		w.settledAll(t, ids, payout, wallet)
		w.freeAgain(t, 20)
	})
}

// TestSim_FortyOrders_DevicesStayRented: those that find no device say so after some minutes, with the time when one is
// free at the latest, and have cost nothing; the others run on.
func TestSim_FortyOrders_DevicesStayRented(t *testing.T) {
	t.Parallel()
	manyMinutes(t)
	simulate(t, twenty(time.Hour), func(t *testing.T, w *world) {
		var ids []market.OrderID
		for i := range 40 {
			ids = append(ids, w.place(t, small(i)))
		}
		time.Sleep(2 * time.Minute)
		waits := 0
		for _, id := range ids {
			if v, err := w.cust.Order(id.String()); err == nil && v.Standing == customer.StandingSearching &&
				strings.Contains(fmt.Sprint(v.Steps), "UTC at the latest") {
				waits++
			}
		}
		if waits != 20 {
			t.Errorf("%d orders say that they wait, and until when", waits)
		}
		time.Sleep(4 * time.Minute)
		ran, busy := 0, 0
		for _, id := range ids {
			v, err := w.cust.Order(id.String())
			switch {
			case err != nil:
				t.Fatal(err)
			case in(market.Running)(v):
				ran++
			case v.Standing == customer.StandingFailed && v.Code == market.CodeBusy &&
				strings.Contains(v.Detail, "free at ") &&
				v.Channel == (market.ChannelID{}):
				busy++
			default:
				t.Errorf("%s %s %s; %+v", v.Standing, v.Code, v.Detail, v.Steps)
			}
		}
		if ran != 20 || busy != 20 {
			t.Errorf("%d run, %d are told that all is rented", ran, busy)
		}
	})
}
