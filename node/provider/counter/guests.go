package counter

import (
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// guests are the customers: who has paid here, and the leases that admission counts, by node key and by payer.
type guests struct {
	db     *store.Store
	mu     sync.Mutex
	known  map[[32]byte]bool // node keys and payers with a paid lease that is not over; the others are in the store
	all    map[market.LeaseID]*Visit
	visits map[[32]byte]map[market.LeaseID]*Visit // the same by key
	past   []past                                 // visits that are over, the oldest first
}

type past struct {
	lease market.LeaseID
	at    time.Time
}

func newGuests(db *store.Store) *guests {
	return &guests{db: db, known: map[[32]byte]bool{}, all: map[market.LeaseID]*Visit{},
		visits: map[[32]byte]map[market.LeaseID]*Visit{}}
}

func (v *Visit) keys() [2][32]byte { return [2][32]byte{v.Node, v.Payer} }

func (g *guests) add(v *Visit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(v)
}

func (g *guests) drop(id market.LeaseID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(id)
}

// enter takes a visit in, in the place of an older one of the same lease. Caller holds mu.
func (g *guests) enter(v *Visit) {
	g.all[v.Lease] = v
	for _, k := range v.keys() {
		if g.visits[k] == nil {
			g.visits[k] = map[market.LeaseID]*Visit{}
		}
		g.visits[k][v.Lease] = v
	}
}

// forget takes a visit out. Caller holds mu.
func (g *guests) forget(id market.LeaseID) {
	v := g.all[id]
	if v == nil {
		return
	}
	delete(g.all, id)
	for _, k := range v.keys() {
		if delete(g.visits[k], id); len(g.visits[k]) == 0 {
			delete(g.visits, k)
		}
	}
}

// over freezes a visit at what its lease came to, and forgets those that no rule counts any more.
func (g *guests) over(id market.LeaseID, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.past) > 0 && now.Sub(g.past[0].at).Abs() >= startsWindow {
		g.forget(g.past[0].lease)
		g.past = g.past[1:]
	}
	if v := g.all[id]; v != nil {
		m, frozen := v.Now(), *v
		frozen.Now = func() market.Lease { return m }
		g.enter(&frozen)
		for _, k := range v.keys() {
			delete(g.known, k) // on disk, if it was
		}
		g.past = append(g.past, past{id, now})
	}
}

// of lists the visits of a node key or a payer.
func (g *guests) of(node market.NodeID, payer market.Address) (out []*Visit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, v := range g.visits[node] {
		if v.Node == node {
			out = append(out, v)
		}
	}
	for _, v := range g.visits[payer] {
		if v.Payer == payer && v.Node != node {
			out = append(out, v)
		}
	}
	return out
}

func (g *guests) learn(node, payer [32]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known[node], g.known[payer] = true, true
}

// knows tells whether this node key or payer has paid for a lease here. A store that cannot be read knows nobody.
func (g *guests) knows(node, payer [32]byte) bool {
	g.mu.Lock()
	known := g.known[node] || g.known[payer]
	g.mu.Unlock()
	for _, k := range [][32]byte{node, payer} {
		if known {
			break
		}
		b, err := g.db.Get(store.BucketKnown, k[:])
		known = err == nil && b != nil
	}
	return known
}
