// Package outcomes tells everybody how leases ended, once both sides have signed it for everybody.
//
// Invariants: what is to be told is stored in the Change that makes it signed by both, so no crash loses it; a lease is
// told a few times within a day, so that an indexer which was away hears it, too; then its row goes. Concurrency:
// methods are safe from many goroutines; Serve runs once. Persistence: bucket outcomes. Next: Teller.Stage,
// docs/flows/outcome.md.
package outcomes

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
)

// again is how long after each telling but the last the next one is. They sum to less than peers take an Outcome after
// its lease has ended (p2p/offers.OutcomeAge), and are longer than gossip remembers one.
var again = []time.Duration{15 * time.Minute, 2 * time.Hour, 10 * time.Hour}

// pace lies between two tellings: peers take one a second of a signer, and more only in a burst.
const pace = time.Second

// settle is how long after a start nothing is told: the first peer that listens is not yet all of them.
const settle = 30 * time.Second

// Net spreads Outcomes. PublishOutcome waits until somebody listens; its *market.Error says that no node would take it.
type Net interface {
	PublishOutcome(ctx context.Context, provider, customer []byte) error
}

// row is what is stored of a lease that is told.
type row struct {
	Provider []byte    `json:"Provider"` // envelopes
	Customer []byte    `json:"Customer"`
	Told     int       `json:"Told"`
	Next     time.Time `json:"Next"`
}

// due is when a lease is told next.
type due struct {
	lease market.LeaseID
	at    time.Time
}

// Teller tells Outcomes. Use New, then Serve.
type Teller struct {
	network string
	db      *store.Store
	net     Net
	now     func() time.Time
	log     *slog.Logger
	bell    await.Bell

	mu    sync.Mutex
	queue []due // soonest first
	known map[market.LeaseID]bool
}

// New returns a Teller that tells nothing yet. net nil: this node tells nothing, and Stage stages nothing.
func New(network string, db *store.Store, net Net, now func() time.Time, log *slog.Logger) *Teller {
	return &Teller{network: network, db: db, net: net, now: now, log: log, known: map[market.LeaseID]bool{}}
}

// Stage puts what is to be told of a lease into the Change that makes it signed by both; staged is called once that is
// committed. Envelopes that are not for everybody, or do not say the same, put nothing. Their signatures were checked.
// A nil Teller stages nothing.
func (t *Teller) Stage(c *store.Change, provider, customer []byte) (staged func()) {
	nothing := func() {}
	if t == nil || t.net == nil {
		return nothing
	}
	p, err := wire.JoinOutcomes(provider, customer, t.network)
	if err != nil {
		return nothing
	}
	id := p.Outcome.Lease
	t.mu.Lock()
	known := t.known[id]
	t.mu.Unlock()
	if known { // its customer repeats itself
		return nothing
	}
	r := row{Provider: provider, Customer: customer, Next: t.now()}
	c.Puts = append(c.Puts, store.Put{Bucket: store.BucketOutcomes, Key: id[:], Value: store.Row(r)})
	return func() { t.enter(due{id, r.Next}) }
}

// enter queues a lease.
func (t *Teller) enter(d due) {
	t.mu.Lock()
	i, _ := slices.BinarySearchFunc(t.queue, d, func(a, b due) int { return cmp.Or(a.at.Compare(b.at), -1) })
	t.queue = slices.Insert(t.queue, i, d)
	t.known[d.lease] = true
	t.mu.Unlock()
	t.bell.Ring()
}

// first takes the lease whose turn it is; else it says how long until then, 0: there is none.
func (t *Teller) first() (d due, ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return d, false, 0
	}
	d = t.queue[0]
	if wait = d.at.Sub(t.now()); wait > 0 {
		return d, false, wait
	}
	t.queue = t.queue[1:]
	return d, true, 0
}

// Serve tells what the store holds and what is staged until ctx ends. Errors: ctx's; the store's while it reads.
func (t *Teller) Serve(ctx context.Context) error {
	if t.net == nil {
		return nil
	}
	if err := t.load(); err != nil {
		return err
	}
	for {
		next := t.bell.Next()
		d, ok, wait := t.first()
		if ok {
			if err := t.tell(ctx, d.lease); err != nil && ctx.Err() == nil {
				t.log.Warn("Outcome was not told", "lease", d.lease, "error", err)
				t.enter(due{d.lease, t.now().Add(again[0])})
			}
			if err := await.Sleep(ctx, pace); err != nil {
				return err
			}
			continue
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		case <-timer:
		}
	}
}

// load queues what was not told to its end before the start.
func (t *Teller) load() error {
	var all []due
	soonest := t.now().Add(settle)
	err := t.db.Scan(store.BucketOutcomes, nil, func(k, v []byte) error {
		var r row
		if err := store.Unrow(v, &r); err != nil {
			return fmt.Errorf("outcome row %x: %w", k, err)
		}
		if r.Next.Before(soonest) {
			r.Next = soonest
		}
		all = append(all, due{market.LeaseID(k), r.Next})
		return nil
	})
	for _, d := range all {
		t.enter(d)
	}
	return err
}

// tell tells a lease and stores when it is told again. Errors: gossip's, the store's: try again.
func (t *Teller) tell(ctx context.Context, id market.LeaseID) error {
	b, err := t.db.Get(store.BucketOutcomes, id[:])
	if err != nil || b == nil {
		return err
	}
	var r row
	if err := store.Unrow(b, &r); err != nil {
		return fmt.Errorf("outcome row %s: %w", id, err)
	}
	err = t.net.PublishOutcome(ctx, r.Provider, r.Customer)
	if market.CodeOf(err) != "" { // too old by now
		t.log.Debug("Outcome is not told any more", "lease", id, "error", err)
		r.Told, err = len(again), nil
	}
	if err != nil {
		return err
	}
	if r.Told == len(again) {
		err := t.db.Commit(ctx, store.Change{Deletes: []store.Ref{{Bucket: store.BucketOutcomes, Key: id[:]}}})
		if err == nil {
			t.mu.Lock()
			delete(t.known, id)
			t.mu.Unlock()
		}
		return err
	}
	r.Next = t.now().Add(again[r.Told])
	r.Told++
	put := store.Put{Bucket: store.BucketOutcomes, Key: id[:], Value: store.Row(r)}
	if err := t.db.Commit(ctx, store.Change{Puts: []store.Put{put}}); err != nil {
		return err
	}
	t.log.Info("Outcome was told", "lease", id, "times", r.Told)
	t.enter(due{id, r.Next})
	return nil
}
