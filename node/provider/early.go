package provider

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/counter"
)

// Bounds of what is remembered of Stops that came before their lease: in all and by customer, and for how long. A lease
// names a Quote that is older than its Stop, so after the life of a Quote it is refused anyway.
const (
	maxEarly    = 1024
	maxEarlyOf  = 16
	earlyWithin = counter.QuoteLife + counter.MaxSkew
)

// earlyStops are Stops of leases that are not known yet: each travels alone, and may overtake the lease that it is for.
type earlyStops map[earlyKey]earlyStop

type earlyKey struct {
	from market.NodeID
	id   market.LeaseID
}

type earlyStop struct {
	stop  market.StopAsked
	until time.Time
}

// add remembers one; false: there are too many.
func (e earlyStops) add(from market.NodeID, id market.LeaseID, stop market.StopAsked, now time.Time) bool {
	own := 0
	for k, s := range e {
		switch {
		case !now.Before(s.until):
			delete(e, k)
		case k.from == from && k.id != id:
			own++
		}
	}
	if own >= maxEarlyOf || len(e) >= maxEarly {
		return false
	}
	e[earlyKey{from, id}] = earlyStop{stop, now.Add(earlyWithin)}
	return true
}

// take gives one away; nil: there is none.
func (e earlyStops) take(from market.NodeID, id market.LeaseID, now time.Time) *market.StopAsked {
	k := earlyKey{from, id}
	s, ok := e[k]
	delete(e, k)
	if !ok || !now.Before(s.until) {
		return nil
	}
	return &s.stop
}

// stop ends a lease for its customer, wherever it is: one that is being decided is refused, or stopped as soon as it is
// accepted; one that is not known is refused when it comes. Refusals: unknown-lease for somebody else's, and while too
// many are remembered; the machine's.
func (k *clerk) stop(ctx context.Context, from market.NodeID, id market.LeaseID, stop market.StopAsked) error {
	taken, remembered := k.withdraw(from, id, stop)
	if taken {
		return nil
	}
	// what was accepted is at the desk before it ceases to be decided
	known, err := k.desk.knows(id)
	if err != nil || known || !remembered {
		k.mu.Lock()
		k.early.take(from, id, k.now())
		k.mu.Unlock()
		if err != nil {
			return err
		}
		return k.desk.stop(ctx, from, id, stop)
	}
	return nil
}

// withdraw takes a Stop for a lease that is being decided, or that was refused. Of another one it is remembered: it may
// come yet.
func (k *clerk) withdraw(from market.NodeID, id market.LeaseID, stop market.StopAsked) (taken, remembered bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, refused := k.refused[id]; refused {
		return true, false
	}
	p := k.deciding[id]
	switch {
	case p == nil:
		return false, k.early.add(from, id, stop, k.now())
	case p.from != from:
		return false, false
	}
	p.stop = &stop
	p.cancel()
	return true, false
}
