package nodetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/leases"
	"github.com/gpuai/gpuai/node/backend/orders"
	"github.com/gpuai/gpuai/node/customer"
)

// TestEnded_OutputsAndReceipt_AreThere: of an order that has left memory the outputs are fetched, which is noted, and
// the signed documents are those of before.
func TestEnded_OutputsAndReceipt_AreThere(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 10 * time.Second}, func(t *testing.T, w *world) {
		v := w.await(t, w.place(t, request("kept")), func(v customer.View) bool { return over(v) && v.Finished })
		w.left(t)
		role := func() (*customer.Customer, error) { return w.cust, nil }
		var tar bytes.Buffer
		err := orders.Shelf{Role: role}.GetOutputs(t.Context(), v.ID.String(), false, &tar)
		if err != nil || tar.Len() == 0 {
			t.Fatalf("%d bytes of outputs, %v", tar.Len(), err)
		}
		if now, err := w.cust.Order(v.ID.String()); err != nil || now.Files.Fetched.IsZero() {
			t.Errorf("fetched at %s, %v", now.Files.Fetched, err)
		}
		book := leases.Book{Role: role, Show: func(v customer.View) api.Order { return api.Order{ID: v.ID.String()} }}
		r, err := book.Receipt(t.Context(), v.ID.String())
		if err != nil || r.Order.ID != v.ID.String() || len(r.Receipt) == 0 || !bytes.Equal(r.Lease, v.RawLease) ||
			!bytes.Equal(r.Receipt, v.Receipt) || !bytes.Equal(r.Outcome, v.Outcome) ||
			!bytes.Equal(r.OwnOutcome, v.OwnOutcome) {
			t.Errorf("receipt %+v, %v", r, err)
		}
	})
}
