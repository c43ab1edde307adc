package customer

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/store"
)

// marks are what this node saw of providers: how its orders ended there. One small row keeps them over restarts; the
// book, which is not kept, is told at once and whenever it hears of a provider again.
type marks struct {
	mu   sync.Mutex
	rows map[market.NodeID]mark
	turn chan struct{} // full while they are written
}

// mark counts the orders that ended well and those that the provider failed, and remembers the newest two failures.
type mark struct {
	Good, Bad uint32
	At        time.Time
	Last, Was time.Time `json:",omitzero"` // the newest failure, and the one before
	Why       string    `json:",omitempty"`
}

// maxMarks bounds the row; above it the providers that were used longest ago are forgotten.
const maxMarks = 256

var keyMarks = []byte("marks")

// score is how many of a million leases end well there, by what is known: a provider without a record counts as one
// that failed a fifth, and no record makes it better than that.
func (m mark) score() uint64 {
	good, all := uint64(m.Good)+4, uint64(m.Good)+uint64(m.Bad)+5
	return min(good*1_000_000/all, 800_000)
}

// mark notes how a lease that was accepted has ended.
func (r *orderRun) mark(ctx context.Context, m market.Lease) {
	if m.Accepted.IsZero() {
		return
	}
	o, c := r.snapshot(), r.c
	c.marks.mu.Lock()
	k := c.marks.rows[o.Provider]
	k.At = c.now()
	if m.Fault == market.FaultProvider {
		k.Bad, k.Was, k.Last, k.Why = k.Bad+1, k.Last, k.At, string(m.Code)
	} else {
		k.Good++
	}
	if c.marks.rows == nil {
		c.marks.rows = map[market.NodeID]mark{}
	}
	c.marks.rows[o.Provider] = k
	for len(c.marks.rows) > maxMarks {
		delete(c.marks.rows, slices.MinFunc(slices.Collect(maps.Keys(c.marks.rows)), func(a, b market.NodeID) int {
			return c.marks.rows[a].At.Compare(c.marks.rows[b].At)
		}))
	}
	c.marks.mu.Unlock()
	c.bookMu.Lock()
	c.tellBook(o.Provider)
	c.bookMu.Unlock()
	c.saveMarks(ctx)
}

// saveMarks writes the row; the newest state is written last, whoever writes it.
func (c *Customer) saveMarks(ctx context.Context) {
	c.marks.turn <- struct{}{}
	defer func() { <-c.marks.turn }()
	c.marks.mu.Lock()
	b := store.Row(c.marks.rows)
	c.marks.mu.Unlock()
	put := store.Put{Bucket: store.BucketMeta, Key: keyMarks, Value: b}
	if err := c.db.Commit(context.WithoutCancel(ctx), store.Change{Puts: []store.Put{put}}); err != nil {
		c.log.Warn("How a provider ended an order was not stored", "error", err)
	}
}

// loadMarks reads the row, and tells the book of the providers that it has heard of by now. A row that cannot be read
// is no reason not to start.
func (c *Customer) loadMarks() {
	b, err := c.db.Get(store.BucketMeta, keyMarks)
	if err != nil || b == nil {
		return
	}
	rows := map[market.NodeID]mark{}
	if err := store.Unrow(b, &rows); err != nil {
		c.log.Warn("How providers ended orders is not known any more", "error", err)
		return
	}
	c.marks.mu.Lock()
	c.marks.rows = rows
	c.marks.mu.Unlock()
	c.bookMu.Lock()
	defer c.bookMu.Unlock()
	for p := range rows {
		c.tellBook(p)
	}
}

// tellBook gives the book what is known of a provider: it is ranked by that, and hidden after two failures. Caller
// holds bookMu.
func (c *Customer) tellBook(p market.NodeID) {
	c.marks.mu.Lock()
	m, ok := c.marks.rows[p]
	c.marks.mu.Unlock()
	if !ok {
		return
	}
	c.book.Mark(p, book.Observation{At: m.At, Score: m.score()})
	for _, at := range []time.Time{m.Was, m.Last} {
		if !at.IsZero() {
			c.book.Mark(p, book.Observation{At: at, Failed: true, Why: m.Why})
		}
	}
}
