package customer

import (
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
)

// happened are the events that belong into the commit which takes an order's row from old to now.
func happened(old *orderRow, now *orderRow, at time.Time) (out []store.Event) {
	stood, is := old.Standing(), now.Standing()
	if old.Stage == 0 {
		stood = ""
	}
	if stood != is || old.Home != now.Home {
		e := store.Event{At: at, Topic: "order", ID: now.ID.String(), State: is, Cause: is, Money: now.Ended() ||
			now.Home}
		if now.Ended() {
			e.Cause = string(now.End.Code)
		}
		if now.Home {
			e.Amounts = map[string]market.Amount{"paid": now.Paid, "returned": now.Returned}
		}
		if stood == is {
			e.Cause = "settled"
		}
		out = append(out, e)
	}
	if old.Files.Dropped != now.Files.Dropped && now.Files.Fetched.IsZero() {
		out = append(out, store.Event{At: at, Topic: "order", ID: now.ID.String(), State: is,
			Cause: "outputs-dropped"})
	}
	if now.Lease == nil {
		return out
	}
	var was market.LeaseState
	if old.Lease != nil && old.Lease.ID == now.Lease.ID {
		was = old.Lease.State
	} else {
		now.Events = 0
	}
	return append(out, lease.Events(was, *now.Lease, &now.Events, at)...)
}
