package indexer

import (
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/rows"
)

// maxWants that wait for the writer: gossip holds 4,096 of 8 slots at most.
const maxWants = 40_000

// slot is a place that a newer Want takes.
type slot struct {
	customer string
	n        uint8
}

// Want implements offers.WantSink.
func (x *Indexer) Want(w market.Want, _ market.DocID) {
	row := rows.Want(w)
	k := slot{row.Customer, w.Slot}
	x.mu.Lock()
	if old, waits := x.wants[k]; !waits && len(x.wants) >= maxWants {
		x.refused++
	} else if row.Seq > old.Seq {
		x.wants[k] = row
	}
	x.mu.Unlock()
	x.poke()
}

// maxLeases that wait for the writer.
const maxLeases = 10_000

// Outcome implements offers.OutcomeSink. Which of two that come is written follows from the rows: see db.Lease.
func (x *Indexer) Outcome(o market.Outcome, provider, customer []byte) {
	row, err := rows.Lease(o, provider, customer)
	key := row.Key()
	x.mu.Lock()
	old, waits := x.leases[key]
	switch {
	case err != nil || !waits && len(x.leases) >= maxLeases:
		x.refused++
	case !waits || row.Before(old):
		x.leases[key] = row
	}
	x.mu.Unlock()
	x.poke()
}

// heard notes how long an Offer was under way that was signed after this node began to listen: what was held before
// comes at once, and late. The writer has the lock.
func (x *Indexer) heard(seq int64, now time.Time) {
	if signed := time.UnixMilli(seq); signed.After(x.since) && len(x.delays) < maxProbes {
		x.delays = append(x.delays, db.Delay{At: now.UnixMilli(), Micros: max(now.Sub(signed).Microseconds(), 0)})
	}
}
