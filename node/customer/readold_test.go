package customer

import (
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// readOld reads an order's row that may still have its lease inside, as the store's migration would have left it.
func readOld(b []byte) (orderRow, error) {
	var row map[string]any
	var old struct{ Lease *market.Lease }
	if err := store.Unrow(b, &row); err != nil {
		return orderRow{}, err
	}
	if err := store.Unrow(b, &old); err != nil {
		return orderRow{}, err
	}
	if old.Lease != nil {
		row["LeaseID"] = old.Lease.ID
	}
	return readOrder(store.Row(row), func(id market.LeaseID) (rows.Tick, error) {
		if old.Lease == nil {
			old.Lease = &market.Lease{Common: market.Common{ID: id}}
		}
		return rows.Tick{Lease: *old.Lease}, nil
	})
}
