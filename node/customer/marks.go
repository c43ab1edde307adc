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
	Good uint32    `json:"Good"`
	Bad  uint32    `json:"Bad"`
	At   time.Time `json:"At"`
	Last time.Time `json:"Last,omitzero"`
	Was  time.Time `json:"Was,omitzero"` // the newest failure, and the one before
	Why  string    `json:"Why,omitempty"`
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

// mark notes how a provider's lease, if it was accepted, has ended.
func (b *Book) mark(ctx context.Context, p market.NodeID, m market.Lease) {
	if m.Accepted.IsZero() {
		return
	}
	b.marks.mu.Lock()
	k := b.marks.rows[p]
	k.At = b.clock.Now()
	if m.Fault == market.FaultProvider {
		k.Bad, k.Was, k.Last, k.Why = k.Bad+1, k.Last, k.At, string(m.Code)
	} else {
		k.Good++
	}
	if b.marks.rows == nil {
		b.marks.rows = map[market.NodeID]mark{}
	}
	b.marks.rows[p] = k
	for len(b.marks.rows) > maxMarks {
		delete(b.marks.rows, slices.MinFunc(slices.Collect(maps.Keys(b.marks.rows)), func(x, y market.NodeID) int {
			return b.marks.rows[x].At.Compare(b.marks.rows[y].At)
		}))
	}
	b.marks.mu.Unlock()
	b.mu.Lock()
	b.tell(p)
	b.mu.Unlock()
	b.saveMarks(ctx)
}

// saveMarks writes the row; the newest state is written last, whoever writes it.
func (b *Book) saveMarks(ctx context.Context) {
	b.marks.turn <- struct{}{}
	defer func() { <-b.marks.turn }()
	b.marks.mu.Lock()
	row := store.Row(b.marks.rows)
	b.marks.mu.Unlock()
	put := store.Put{Bucket: store.BucketMeta, Key: keyMarks, Value: row}
	if err := b.db.Commit(context.WithoutCancel(ctx), store.Change{Puts: []store.Put{put}}); err != nil {
		b.log.Warn("How a provider ended an order was not stored", "error", err)
	}
}

// loadMarks reads the row, and tells the book of the providers that it has heard of by now. A row that cannot be read
// is no reason not to start.
func (b *Book) loadMarks() {
	row, err := b.db.Get(store.BucketMeta, keyMarks)
	if err != nil || row == nil {
		return
	}
	rows := map[market.NodeID]mark{}
	if err := store.Unrow(row, &rows); err != nil {
		b.log.Warn("How providers ended orders is not known any more", "error", err)
		return
	}
	b.marks.mu.Lock()
	b.marks.rows = rows
	b.marks.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range rows {
		b.tell(p)
	}
}

// tell gives the book what is known of a provider: it is ranked by that, and hidden after two failures. Caller
// holds mu.
func (b *Book) tell(p market.NodeID) {
	b.marks.mu.Lock()
	m, ok := b.marks.rows[p]
	b.marks.mu.Unlock()
	if !ok {
		return
	}
	b.book.Mark(p, book.Observation{At: m.At, Score: m.score()})
	for _, at := range []time.Time{m.Was, m.Last} {
		if !at.IsZero() {
			b.book.Mark(p, book.Observation{At: at, Failed: true, Why: m.Why})
		}
	}
}
