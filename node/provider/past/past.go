// Package past keeps what is left of leases that are over and have left memory: a small row of each, for 90 days.
//
// Invariants: a lease is in the bucket ticks or here, never in both: the Change that puts it here takes it out there.
// Its documents lie where they lay, in the bucket leases, and go with its row. Concurrency: any goroutine.
// Persistence: buckets past and past_ends. Next: Page, node/provider/desk.
package past

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/shelf"
	"github.com/gpuai/gpuai/node/store"
)

// rack is where the rows lie, in the order of their ends.
var rack = shelf.Shelf{Rows: store.BucketPast, Times: store.BucketPastEnds}

// Lease is a lease that is over: its last tick, and what lists show and rules count of its documents.
type Lease struct {
	Tick     rows.Tick         `json:"-"`
	Row      []byte            `json:"tick"` // Tick, as it lay in the bucket ticks
	Customer market.NodeID     `json:"customer"`
	Order    Order             `json:"order"`
	Devices  []market.DeviceID `json:"devices"`
}

// Order is what is kept of an Order.
type Order struct {
	Nonce    market.OrderID `json:"nonce"`
	Payer    market.Address `json:"payer"`
	Image    string         `json:"image,omitempty"`
	CPUMilli uint32         `json:"cpu_milli,omitempty"`
	RAM      uint64         `json:"ram,omitempty"`
	Disk     uint64         `json:"disk,omitempty"`
	Egress   uint8          `json:"egress,omitempty"`
}

// OrderOf keeps of an Order what Lease has.
func OrderOf(o market.Order) Order {
	return Order{o.Nonce, o.Payer, o.Image, o.CPUMilli, o.RAM, o.Disk, o.Egress}
}

// Order is an Order with what was kept of it.
func (o Order) Order() market.Order {
	return market.Order{Nonce: o.Nonce, Payer: o.Payer, Image: o.Image, CPUMilli: o.CPUMilli, RAM: o.RAM, Disk: o.Disk,
		Egress: o.Egress}
}

// Put moves a lease here, in c.
func Put(c *store.Change, l Lease) {
	m := l.Tick.Lease
	l.Row = l.Tick.Encode()
	c.Deletes = append(c.Deletes, store.Ref{Bucket: store.BucketTicks, Key: m.ID[:]})
	rack.Put(c, m.Ended, m.ID, store.Row(l))
}

// Get reads a lease; false: it is not here. Errors: the store's; a row that is none.
func Get(db *store.Store, id market.LeaseID) (l Lease, found bool, err error) {
	b, err := db.Get(store.BucketPast, id[:])
	if err != nil || b == nil {
		return l, false, err
	}
	l, err = read(id, b)
	return l, err == nil, err
}

func read(id market.LeaseID, b []byte) (l Lease, err error) {
	if err = store.Unrow(b, &l); err == nil {
		l.Tick, err = rows.DecodeTick(id, market.ProviderSide, l.Row)
	}
	if err != nil {
		return l, fmt.Errorf("past lease %s: %w", id, err)
	}
	return l, nil
}

// Page lists n leases, those that ended last first. before is what the page before returned, nil: from the last. next
// is nil at the end. Errors: as Get.
func Page(db *store.Store, before []byte, n int) (list []Lease, next []byte, err error) {
	found, next, err := rack.Page(db, before, n, true)
	for i := 0; err == nil && i < len(found); i++ {
		var l Lease
		l, err = read(found[i].ID, found[i].Value)
		list = append(list, l)
	}
	return list, next, err
}

// Prune forgets leases that ended more than shelf.Life ago, with their documents. Errors: the store's.
func Prune(ctx context.Context, db *store.Store, now time.Time) error {
	return rack.Prune(ctx, db, now, func(r shelf.Row) ([]store.Ref, bool, error) {
		return []store.Ref{{Bucket: store.BucketLeases, Key: r.ID[:]}}, true, nil
	})
}
