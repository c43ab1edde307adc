package nodetest

import (
	"slices"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/store"
)

// TestEvents_PaidJob: both sides' stores tell the life of an order, each step once and in order, whatever the number of
// ticks.
func TestEvents_PaidJob(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second}, func(t *testing.T, w *world) {
		id := w.place(t, request("events"))
		v := w.await(t, id, over)
		rows := func(s *store.Store, topic, id string) (states []string, last store.Event) {
			t.Helper()
			all, _, _, err := s.Events(0, store.KeepEvents)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range all {
				if e.Topic == topic && e.ID == id {
					states, last = append(states, e.State), e
				}
			}
			return states, last
		}
		until(t, "the provider's lease did not end in an event", func() bool {
			states, _ := rows(w.pstore, "lease", v.Lease.ID.String())
			return slices.Contains(states, "ended")
		})
		sold, end := rows(w.pstore, "lease", v.Lease.ID.String())
		if len(sold) < 3 || sold[0] != "preparing" || !slices.Contains(sold, "running") ||
			sold[len(sold)-1] != "ended" || end.Role != "provider" ||
			!end.Money || end.Cause != "completed" || end.Amounts["owed"] != v.Lease.Claim {
			t.Errorf("sold: %v, then %+v, claim %d", sold, end, v.Lease.Claim)
		}
		bought, end := rows(w.cstore, "lease", v.Lease.ID.String())
		if len(bought) < 3 || bought[len(bought)-1] != "ended" || end.Role != "customer" ||
			end.Amounts["owed"] != v.Lease.Claim || len(slices.Compact(slices.Clone(bought))) != len(bought) {
			t.Errorf("bought: %v, then %+v", bought, end)
		}
		until(t, "the order did not end in an event", func() bool {
			states, _ := rows(w.cstore, "order", v.ID.String())
			return slices.Contains(states, "ended")
		})
		order, _ := rows(w.cstore, "order", v.ID.String())
		if want := []string{"searching", "funding", "leased"}; len(order) < 4 || !slices.Equal(order[:3], want) {
			t.Errorf("order: %v", order)
		}
		if _, e := rows(w.cstore, "channel",
			v.Channel.String()); e.Amounts["paid"]+e.Amounts["returned"] != e.Amounts["deposit"] || !e.Money {
			t.Errorf("the channel's last event: %+v", e)
		}
	})
}
