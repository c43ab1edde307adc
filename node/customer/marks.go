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
	Good    uint32    `json:"Good"`
	Bad     uint32    `json:"Bad"`
	NoStart uint32    `json:"NoStart,omitempty"` // of Bad: accepted, and the job never ran
	At      time.Time `json:"At"`
	Last    time.Time `json:"Last,omitzero"`
	Was     time.Time `json:"Was,omitzero"` // the newest failure, and the one before
	Why     string    `json:"Why,omitempty"`
	// RanMS: from ready to the end, of all leases. DownMS: of it, when the job neither worked nor was frozen for its
	// customer. ReadyMS: from accepted to ready, the newest lease.
	RanMS   uint64 `json:"RanMS,omitempty"`
	DownMS  uint64 `json:"DownMS,omitempty"`
	ReadyMS uint64 `json:"ReadyMS,omitempty"`
}

// maxMarks bounds the row; above it the providers that were used longest ago are forgotten.
const maxMarks = 256

var keyMarks = []byte("marks")

// noDown is what a lease may be short of without its provider being down: it begins and ends between two looks.
const noDown = time.Minute

// score is how many of a million leases end well there, by what is known, times the uptime. A provider without a record
// counts as one that failed a fifth.
func (m mark) score() uint64 {
	good, all := uint64(m.Good)+4, uint64(m.Good)+uint64(m.Bad)+5
	score := good * million / all
	if up, known := m.uptime(); known {
		score = score * up / million
	}
	return max(score, 1)
}

const million = 1_000_000

// uptime is how many of a million parts of its leases' time the provider was up.
func (m mark) uptime() (ppm uint64, known bool) {
	if m.RanMS == 0 {
		return 0, false
	}
	return max((m.RanMS-min(m.DownMS, m.RanMS))*million/m.RanMS, 1), true // 0 is unknown
}

// ended adds how a lease, which was accepted, has ended.
func (m *mark) ended(l market.Lease) {
	switch {
	case l.Fault != market.FaultProvider:
		m.Good++
	default:
		m.Bad, m.Was, m.Last, m.Why = m.Bad+1, m.Last, m.At, string(l.Code)
		if l.Ready.IsZero() {
			m.NoStart++
		}
	}
	if l.Ready.IsZero() || l.Ended.Before(l.Ready) {
		return
	}
	m.ReadyMS = uint64(max(l.Ready.Sub(l.Accepted), time.Millisecond).Milliseconds())
	ran, was := l.Ended.Sub(l.Ready), time.Duration(l.ClaimMS+l.ClaimPausedMS)*time.Millisecond
	m.RanMS += uint64(ran.Milliseconds())
	m.DownMS += uint64(max(ran-was-noDown, 0).Milliseconds())
}

// mark notes how a provider's lease, if it was accepted, has ended.
func (b *Book) mark(ctx context.Context, p market.NodeID, m market.Lease) {
	if m.Accepted.IsZero() {
		return
	}
	b.marks.mu.Lock()
	k := b.marks.rows[p]
	k.At = b.clock.Now()
	k.ended(m)
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
	if n, measured := b.near[p]; measured {
		b.book.Mark(p, book.Observation{RTT: n.rtt})
	}
	b.marks.mu.Lock()
	m, ok := b.marks.rows[p]
	b.marks.mu.Unlock()
	if !ok {
		return
	}
	up, _ := m.uptime()
	b.book.Mark(p, book.Observation{At: m.At, Well: true, Score: m.score(), Uptime: up,
		Ready: time.Duration(m.ReadyMS) * time.Millisecond})
	for _, at := range []time.Time{m.Was, m.Last} {
		if !at.IsZero() {
			b.book.Mark(p, book.Observation{At: at, Failed: true, Why: m.Why})
		}
	}
}

// Experience is what this node saw of a provider's leases: how many there were, how many it failed, and how many of
// these never ran.
type Experience struct{ Orders, Failed, NotStarted int }

// experience is what is known of a provider; false: nothing.
func (m *marks) experience(p market.NodeID) (Experience, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.rows[p]
	return Experience{int(k.Good) + int(k.Bad), int(k.Bad), int(k.NoStart)}, ok
}
