// Package past keeps what is left of leases that are over and have left memory: a small row of each, for 90 days.
//
// Invariants: a lease is in the bucket ticks or here, never in both: the Change that puts it here takes it out there.
// Its documents lie where they lay, in the bucket leases, and go with its row. Concurrency: any goroutine.
// Persistence: buckets past and past_ends. Next: Page, node/provider/desk.
package past

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// Life is how long a lease is kept after its end.
const Life = 90 * 24 * time.Hour

// pruneStep is how many leases one Change forgets.
const pruneStep = 500

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
	c.Puts = append(c.Puts, store.Put{Bucket: store.BucketPast, Key: m.ID[:], Value: store.Row(l)},
		store.Put{Bucket: store.BucketPastEnds, Key: endKey(m), Value: []byte{1}})
}

// endKey orders leases by their end, in ms.
func endKey(m market.Lease) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(max(m.Ended.UnixMilli(), 0))), m.ID[:]...)
}

// Get reads a lease; false: it is not here. Errors: the store's; a row that is none.
func Get(db *store.Store, id market.LeaseID) (l Lease, found bool, err error) {
	b, err := db.Get(store.BucketPast, id[:])
	if err != nil || b == nil {
		return l, false, err
	}
	if err := store.Unrow(b, &l); err != nil {
		return l, false, fmt.Errorf("past lease %s: %w", id, err)
	}
	l.Tick, err = rows.DecodeTick(id, market.ProviderSide, l.Row)
	if err != nil {
		return l, false, fmt.Errorf("past lease %s: %w", id, err)
	}
	return l, true, nil
}

// Page lists n leases, those that ended last first. before is what the page before returned, nil: from the last. next
// is nil at the end. Errors: as Get.
func Page(db *store.Store, before []byte, n int) (list []Lease, next []byte, err error) {
	keys, err := db.Page(store.BucketPastEnds, before, n, true)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range keys {
		id, err := idOf(k.Key)
		if err != nil {
			return nil, nil, err
		}
		l, found, err := Get(db, id)
		if err != nil {
			return nil, nil, err
		}
		if found { // else it was pruned meanwhile
			list = append(list, l)
		}
	}
	if len(keys) == n && n > 0 {
		next = keys[n-1].Key
	}
	return list, next, nil
}

func idOf(key []byte) (id market.LeaseID, err error) {
	if len(key) != 8+len(id) {
		return id, fmt.Errorf("key %x is of no past lease", key)
	}
	return market.LeaseID(key[8:]), nil
}

// Prune forgets leases that ended more than Life ago, with their documents. Errors: as Get and the store's Commit.
func Prune(ctx context.Context, db *store.Store, now time.Time) error {
	for {
		keys, err := db.Page(store.BucketPastEnds, nil, pruneStep, false)
		if err != nil {
			return err
		}
		var c store.Change
		for _, k := range keys {
			id, err := idOf(k.Key)
			if err != nil {
				return err
			}
			if now.Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(k.Key)))) < Life {
				break
			}
			c.Deletes = append(c.Deletes, store.Ref{Bucket: store.BucketPastEnds, Key: k.Key},
				store.Ref{Bucket: store.BucketPast, Key: id[:]}, store.Ref{Bucket: store.BucketLeases, Key: id[:]})
		}
		if len(c.Deletes) == 0 {
			return nil
		}
		if err := db.Commit(ctx, c); err != nil {
			return fmt.Errorf("forget old leases: %w", err)
		}
	}
}
