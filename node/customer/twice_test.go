package customer

import (
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestNote_TwoOfOnePastOrder_BothStay: who has read an order of the archive before another wrote it says what he says
// beside that, not instead of it.
func TestNote_TwoOfOnePastOrder_BothStay(t *testing.T) {
	t.Parallel()
	c, _ := bareCustomer(t)
	shelve(t, &c.archive, 2, time.Unix(1_700_000_000, 0))
	id := market.OrderID{1}
	var both [2]*orderRun
	for i := range both {
		r, err := c.find(id.String())
		if err != nil {
			t.Fatal(err)
		}
		both[i] = r
	}
	at := time.Unix(1_700_000_500, 0).UTC()
	var wg sync.WaitGroup
	for i, f := range []func(*orderRow){
		func(o *orderRow) { o.Files.Fetched = at }, func(o *orderRow) { o.Files.Dropped = at.Add(time.Hour) },
	} {
		wg.Go(func() {
			if err := both[i].update(t.Context(), f); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	o, found, err := c.get(id)
	if err != nil || !found || !o.Files.Fetched.Equal(at) || !o.Files.Dropped.Equal(at.Add(time.Hour)) {
		t.Errorf("%+v, %v, %v", o.Files, found, err)
	}
	if o, _, err := c.get(market.OrderID{2}); err != nil || !o.Files.Fetched.IsZero() {
		t.Errorf("another order: %+v, %v", o.Files, err)
	}
}
