package nodetest

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// TestPrepTime_UsedUpByPreparationsThatLeadToNoJob: a customer whose job never gets ready holds the rig for its
// preparation once, and then waits until an hour is over; a restart of the provider forgets nothing.
func TestPrepTime_UsedUpByPreparationsThatLeadToNoJob(t *testing.T) {
	t.Parallel()
	budget := func(p *provider.Config, _ *customer.Config) { p.Policy.PrepTime = 2 * time.Minute }
	simulate(t, setup{work: time.Second, change: budget}, func(t *testing.T, w *world) {
		w.engine.Hold(true)
		v := w.await(t, w.place(t, request("never")), over)
		if v.Code != market.CodeStartTimeout || v.Paid != 0 || v.Returned != v.Deposit {
			t.Errorf("%s %s %s, paid %d", v.Standing, v.Code, v.Detail, v.Paid)
		}
		w.engine.Hold(false)
		w.freeAgain(t, 1)
		w.stopProv()
		w.startProvider(t)
		until(t, "the rig does not sell again", func() bool { return w.prov.View().Selling })
		w.freeAgain(t, 1)
		v = w.await(t, w.place(t, request("again")), over)
		if v.Code != market.CodeQuoteRefused || !strings.Contains(v.Detail, "limits.prep_time") || v.Deposit != 0 {
			t.Errorf("%s: %s; deposit %d", v.Code, v.Detail, v.Deposit)
		}
		time.Sleep(time.Hour)
		if v := w.await(t, w.place(t, request("later")), over); v.Code != market.CodeCompleted {
			t.Errorf("an hour later: %s %s", v.Code, v.Detail)
		}
	})
}
