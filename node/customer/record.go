package customer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/joblog"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// Standing of an order: it follows from its rows, and is kept for people.
const (
	StandingSearching = "searching"
	StandingFunding   = "funding"
	StandingLeased    = "leased"
	StandingEnded     = "ended"
	StandingFailed    = "failed"
)

// orderRow is what the store keeps of an Order and its newest lease.
type orderRow struct {
	Request         Request           `json:"Request"`
	ID              market.OrderID    `json:"ID"`
	Created         time.Time         `json:"Created"`
	market.Purchase `json:"Purchase"` // where the order stands
	Reach           []string          `json:"Reach"`            // of the provider
	LeaseID         market.LeaseID    `json:"LeaseID,omitzero"` // of Lease, whose row is its tick
	Lease           *market.Lease     `json:"-"`
	papers
	InputsSent bool      `json:"InputsSent"`
	BootID     string    `json:"BootID"`
	ReadyAt    time.Time `json:"ReadyAt"`
	Steps      []Step    `json:"Steps"`
	Events     int       `json:"-"` // that the lease has left in the store; in the tick
	Costs      []cost    `json:"Costs,omitempty"`

	Log     *joblog.State `json:"Log,omitempty"`     // how the job's log ended; nil until then
	LogFrom uint64        `json:"LogFrom,omitempty"` // where the newest lease's part of it begins
	Files   Files         `json:"Files"`
}

// papers are the signed documents of an order's newest lease.
type papers struct {
	Raw        []byte `json:"Raw"` // the Lease envelope
	Decision   []byte `json:"Decision"`
	Receipt    []byte `json:"-"`       // in the tick
	Outcome    []byte `json:"Outcome"` // the provider's
	OwnOutcome []byte `json:"OwnOutcome"`
}

// Step is one line of progress, for people.
type Step struct {
	At     time.Time `json:"At"`
	Phase  string    `json:"Phase"`
	Detail string    `json:"Detail"`
}

// record keeps an order's row: in memory as its changes leave it, on disk in their order, which is the till's. No lock
// is held while a change is stored.
type record struct {
	c    *Customer
	bell await.Bell // rings when a change is on disk, or could not be stored

	mu     sync.Mutex
	row    orderRow
	seq    uint64  // counts the changes of the row
	kept   version // the newest that is on disk
	missed uint64  // the newest that found no room there
	past   []byte  // its row in the archive, as this record has read or put it; nil: it has not left memory
}

// version is what one change of the row makes of the order's purchase.
type version struct {
	seq      uint64
	purchase market.Purchase
}

// update changes the row and stores it, with what is to be stored beside it. f is called again where another record of
// an order that has left memory was stored first. Errors: the store's.
func (r *record) update(_ context.Context, f func(*orderRow), beside ...store.Put) error {
	for {
		var v version
		err := r.c.Queue(func(c *store.Change) {
			var put func(*store.Change)
			put, v = r.change(f)
			put(c)
			c.Puts = append(c.Puts, beside...)
		})
		if err = r.ended(v, err); !errors.Is(err, store.ErrGuard) || !r.reread() {
			return err
		}
	}
}

// reread takes the row as the archive has it; false: it is not there.
func (r *record) reread() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, b, err := r.c.row(r.row.ID)
	if err != nil || b == nil {
		return false
	}
	r.row, r.past = o, b
	return true
}

// create stores a row that is new. Errors: the store's.
func (r *record) create() error {
	var v version
	err := r.c.Queue(func(c *store.Change) {
		r.mu.Lock()
		defer r.mu.Unlock()
		v = r.stage(c, orderRow{})
	})
	return r.ended(v, err)
}

// change changes the row and returns what stores it. Called in the till's turn.
func (r *record) change(f func(*orderRow)) (put func(*store.Change), v version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.row
	f(&r.row)
	var c store.Change
	v = r.stage(&c, old)
	return func(to *store.Change) {
		to.Guards = append(to.Guards, c.Guards...)
		to.Puts, to.Events = append(to.Puts, c.Puts...), append(to.Events, c.Events...)
	}, v
}

// stage puts all of the order, which was old. Caller holds mu.
func (r *record) stage(c *store.Change, old orderRow) version {
	r.seq++
	o := &r.row
	o.LeaseID = market.LeaseID{}
	if o.Lease != nil {
		o.LeaseID = o.Lease.ID
	}
	c.Events = append(c.Events, happened(&old, o, r.c.now())...)
	if r.past != nil {
		c.Guards = append(c.Guards, store.Guard{Bucket: store.BucketOwnPast, Key: o.ID[:], Want: r.past})
		r.past = r.c.put(c, o)
		return version{r.seq, o.Purchase}
	}
	c.Puts = append(c.Puts, store.Put{Bucket: bucketOrders, Key: o.ID[:], Value: store.Row(o)})
	if o.Lease != nil {
		c.Puts = append(c.Puts, o.tick())
	}
	return version{r.seq, o.Purchase}
}

// ended notes how the Change of a version has ended, and returns its error. What found no room is stored with the next
// version. The zero version is of a tick alone.
func (r *record) ended(v version, err error) error {
	r.mu.Lock()
	if err != nil {
		r.missed = max(r.missed, v.seq)
	} else if v.seq > r.kept.seq {
		r.kept = v
	}
	r.mu.Unlock()
	r.bell.Ring()
	return err
}

// behind reports that not all of the row is on disk or on its way there. Caller holds mu.
func (r *record) behind() bool { return r.missed > r.kept.seq }

// purchase is where the order stands on disk: nothing may be done for what is not there yet.
func (r *record) purchase() market.Purchase {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept.purchase
}

// snapshot is the row as it is in memory.
func (r *record) snapshot() orderRow {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.row
}

// say adds a line of progress.
func (r *record) say(ctx context.Context, phase, detail string) {
	err := r.update(ctx, func(o *orderRow) {
		o.Steps = append(o.Steps, Step{At: r.c.now(), Phase: phase, Detail: detail})
	})
	if err != nil {
		r.c.log.Warn("Progress was not stored", "order", r.snapshot().ID, "error", err)
	}
}

// tick puts the order's lease.
func (o *orderRow) tick() store.Put {
	t := rows.Tick{Lease: *o.Lease, Receipt: o.Receipt, Events: o.Events}
	return store.Put{Bucket: bucketTicks, Key: o.Lease.ID[:], Value: t.Encode()}
}
