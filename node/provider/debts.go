package provider

import (
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// debt is what one lease left unpaid; its node key and its payer answer for it. Its row is written with the lease's
// own.
type debt struct {
	Sum      market.Amount  `json:"Sum"`
	Lease    market.LeaseID `json:"Lease"`
	Customer market.NodeID  `json:"Customer"`
	Payer    market.Address `json:"Payer"`
	Until    time.Time      `json:"Until"`
}

// debtLife is how long a debt is remembered.
const debtLife = 90 * 24 * time.Hour

// debts are what leases that ended left unpaid.
type debts struct {
	mu   sync.Mutex
	list map[market.LeaseID]debt
}

// load reads them. Errors: the store's.
func (d *debts) load(db *store.Store) error {
	return db.Scan(bucketDebts, nil, func(k, v []byte) error {
		var x debt
		if len(k) != len(x.Lease) {
			return fmt.Errorf("debt row %x is not of a lease", k)
		}
		if err := store.Unrow(v, &x); err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.list[market.LeaseID(k)] = x
		return nil
	})
}

// of sums what this node key or payer owes.
func (d *debts) of(node market.NodeID, payer market.Address, now time.Time) (sum market.Amount) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.list {
		if (x.Customer == node || x.Payer == payer) && now.Before(x.Until) {
			sum += x.Sum
		}
	}
	return sum
}

// leases lists who owes.
func (d *debts) leases() (out []market.LeaseID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.list {
		out = append(out, id)
	}
	return out
}

// enter notes what a lease leaves unpaid, 0: nothing, and returns what puts it into the lease's own Change.
func (d *debts) enter(l *leaseRun, sum market.Amount, now time.Time) func(*store.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x, known := d.list[l.id]
	if sum == 0 {
		delete(d.list, l.id)
		return func(c *store.Change) { c.Deletes = append(c.Deletes, store.Ref{Bucket: bucketDebts, Key: l.id[:]}) }
	}
	if !known {
		x = debt{Lease: l.id, Customer: l.customer, Payer: l.order.Payer, Until: now.Add(debtLife)}
	}
	x.Sum = sum
	d.list[l.id] = x
	told := store.Event{
		At: now, Topic: "lease", ID: l.id.String(), Role: "provider", Cause: "debt-unpaid", Money: true,
		Amounts: map[string]market.Amount{"debt": sum},
	}
	return func(c *store.Change) {
		c.Puts = append(c.Puts, store.Put{Bucket: bucketDebts, Key: l.id[:], Value: store.Row(x)})
		c.Events = append(c.Events, told)
	}
}
