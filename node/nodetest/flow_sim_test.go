package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// simulate runs f on a world in virtual time, with the product's own tick, hold and slot time.
func simulate(t *testing.T, work time.Duration, f func(t *testing.T, n *p2ptest.Net, w *world)) {
	t.Helper()
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		start := time.Now()
		clock, err := lease.ClockOf(func() (time.Duration, error) { return time.Hour + time.Since(start), nil }, "virtual")
		if err != nil {
			t.Fatal(err)
		}
		f(t, n, build(t, n, clock, 400*time.Millisecond, 1, work, func(p *provider.Config, c *customer.Config) {
			p.Tick, p.Hold = 10*time.Second, 2*time.Minute
			c.AwayMax = 100_000_000
		}))
	})
}

// TestSim_FirstPaidJob is TestFlow_FirstPaidJob in virtual time.
func TestSim_FirstPaidJob(t *testing.T) {
	simulate(t, 5*time.Minute, func(t *testing.T, _ *p2ptest.Net, w *world) {
		before := w.chain.Balance(w.payout)
		r := request("one")
		r.MaxTotal = 900_000_000
		id := w.place(t, r)
		v := w.wait(t, id, 20*time.Minute, over)
		w.exact(t, v, "completed", before)
	})
}
