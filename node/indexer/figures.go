package indexer

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/gpuai/gpuai/node/indexer/db"
)

// Figures are what an indexer says of its own work, for /metrics. Lag is unknown (nil) until the chain was read once.
type Figures struct {
	Lag     *uint64           // slots that were final when the chain was looked at last, and are not read yet
	Written map[string]uint64 // rows since the start, by what they are of; expired Offers are rows of offers, too
	Refused int64             // figures that were left out, and documents that found no room, of all starts
}

// Figures are counted since the start; the refused ones since the index began.
func (x *Indexer) Figures() Figures {
	f := x.work.figures()
	x.mu.Lock()
	defer x.mu.Unlock()
	f.Refused = x.refused
	return f
}

// work is what was done: rows that were written, slots that were read.
type work struct {
	mu      sync.Mutex
	written map[string]uint64
	newest  uint64 // slot that was final at the last look at the chain
	read    uint64 // slot up to which the chain was read
}

func (w *work) figures() (f Figures) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Written = maps.Clone(w.written)
	if w.read > 0 {
		lag := w.newest - w.read
		f.Lag = &lag
	}
	return f
}

// apply writes a change into an index, and counts what of it was new.
func (w *work) apply(ctx context.Context, index *db.DB, c db.Change) (db.Applied, error) {
	a, err := index.Apply(ctx, time.Now(), c)
	w.mu.Lock()
	defer w.mu.Unlock()
	for of, n := range map[string]int{"offer": a.Rigs + a.Expired, "channel": a.Channels, "transaction": a.Txs,
		"want": a.Wants, "lease": a.Leases} {
		if n == 0 {
			continue
		}
		if w.written == nil {
			w.written = map[string]uint64{}
		}
		w.written[of] += uint64(n)
	}
	return a, err
}

// lookAt asks for the newest slot that is final; caughtUp is called once all up to it was read.
func (w *work) lookAt(ctx context.Context, c Chain) (caughtUp func(), err error) {
	slot, err := c.Slot(ctx)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest = max(w.newest, slot) // endpoints differ
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.read = max(w.read, slot)
	}, nil
}
