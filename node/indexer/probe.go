package indexer

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
)

// Bounds of probes: each rig every probeEvery, so many at a time, each for so long.
const (
	probeEvery = 4 * time.Minute
	probesAt   = 16
	probeTime  = 10 * time.Second
	probePause = 20 * time.Millisecond // between two begins: at most 50 a second
)

// Dialer reaches rigs.
type Dialer interface {
	// Ping connects and measures one round trip.
	Ping(ctx context.Context, id market.NodeID, addrs []string) (time.Duration, error)
	// Reach is the addresses of a rig's newest Offer; none: it has none now.
	Reach(id market.NodeID) []string
}

// dues are the rigs to dial, in the order of their times: each is due probeEvery after the last time, so what comes
// back goes to the end.
type dues struct {
	mu    sync.Mutex
	queue []due
	held  map[market.NodeID]bool
	wake  chan struct{}
}

type due struct {
	rig market.NodeID
	at  time.Time
}

func newDues() *dues { return &dues{held: map[market.NodeID]bool{}, wake: make(chan struct{}, 1)} }

// add puts a rig that is not there yet to those that are due: a new one comes first.
func (d *dues) add(rig market.NodeID, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held[rig] || len(d.queue) >= maxWaiting {
		return
	}
	d.held[rig] = true
	d.queue = append([]due{{rig, now}}, d.queue...)
	select {
	case d.wake <- struct{}{}:
	default: // it is awake
	}
}

// next is the rig that is due, or how long none is; 0: there is none at all.
func (d *dues) next(now time.Time) (rig market.NodeID, ok bool, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		return rig, false, 0
	}
	if wait = d.queue[0].at.Sub(now); wait > 0 {
		return rig, false, wait
	}
	rig = d.queue[0].rig
	d.queue = d.queue[1:]
	return rig, true, 0
}

// done takes a rig from the list, or puts it to its end.
func (d *dues) done(rig market.NodeID, again bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !again {
		delete(d.held, rig)
		return
	}
	d.queue = append(d.queue, due{rig, now.Add(probeEvery)})
}

// probeAll dials the rigs that are due until ctx ends.
func (x *Indexer) probeAll(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(probesAt)
	for ctx.Err() == nil {
		rig, ok, wait := x.due.next(time.Now())
		if ok {
			g.Go(func() error { x.probe(ctx, rig); return nil })
			wait = probePause
		}
		if wait == 0 {
			wait = probeEvery // a new one wakes it
		}
		wake := x.due.wake
		if ok {
			wake = nil
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(wait):
		}
	}
	return g.Wait()
}

// probe dials one rig, if it has an Offer still.
func (x *Indexer) probe(ctx context.Context, rig market.NodeID) {
	addrs := x.dial.Reach(rig)
	x.due.done(rig, len(addrs) > 0, time.Now())
	if len(addrs) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, probeTime)
	rtt, err := x.dial.Ping(limited, rig, addrs)
	cancel()
	if ctx.Err() != nil {
		return // cut by the end of the node: nothing is known
	}
	x.mu.Lock()
	if len(x.probes) < maxProbes {
		x.probes = append(x.probes, db.Probe{Peer: rig.String(), At: time.Now().UnixMilli(), OK: err == nil,
			RTT: rtt.Microseconds()})
	} else {
		x.refused++
	}
	x.mu.Unlock()
	x.poke()
}
