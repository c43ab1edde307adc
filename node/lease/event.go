package lease

import (
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// maxEvents is how many rows of the store's events one lease may leave; its end always leaves one.
const maxEvents = 1_000

// Events are the rows that belong into the commit which takes a lease from a state to the one of l: one if the state
// changed, none for ticks. left counts them over the lease's life, and is stored beside it: a job that is paused and
// resumed for days must not fill the store.
func Events(was market.LeaseState, l market.Lease, left *int, at time.Time) []store.Event {
	if l.State == was || *left >= maxEvents && !l.Terminal() {
		return nil
	}
	*left++
	e := store.Event{At: at, Topic: "lease", ID: l.ID.String(), Role: l.Side.String(), State: l.State.String(),
		Cause: string(l.Code), Money: l.Terminal()}
	if e.Cause == "" {
		e.Cause = l.Cause
	}
	if e.Cause == "" {
		e.Cause = l.State.String()
	}
	if l.Terminal() {
		owed := l.Owed()
		if l.Side == market.CustomerSide {
			owed = l.Claim
		}
		e.Amounts = map[string]market.Amount{"owed": owed, "paid": l.Paid}
	}
	return []store.Event{e}
}
