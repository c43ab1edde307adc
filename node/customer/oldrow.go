package customer

import (
	"cmp"
	"fmt"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// oldOrder is what an order's row said of its standing before it held a Purchase.
type oldOrder struct {
	Code                   market.Code
	Standing, Detail, Hint string
	Provider               market.NodeID
	Rate                   market.Rate
	Channel                market.ChannelID
	Paid, Returned         market.Amount
	Finished, RefundLater  bool
	FinishSig              string
	StopAsked              bool
}

// readOrder decodes an order's row, also one of before Purchases; tick reads that of its lease.
func readOrder(b []byte, tick func(market.LeaseID) (rows.Tick, error)) (o orderRow, err error) {
	if err := store.Unrow(b, &o); err != nil {
		return o, err
	}
	if o.LeaseID != (market.LeaseID{}) {
		t, err := tick(o.LeaseID)
		if err != nil {
			return o, fmt.Errorf("tick of lease %s: %w", o.LeaseID, err)
		}
		o.Lease, o.Receipt, o.Events = &t.Lease, t.Receipt, t.Events
	}
	if o.Stage != 0 {
		return o, nil
	}
	var old oldOrder
	if err := store.Unrow(b, &old); err != nil {
		return o, err
	}
	o.Purchase = old.purchase(&o)
	return o, o.Valid()
}

// purchase is where the order stands. What waited for its refund gets it from the channel's own life.
func (old oldOrder) purchase(o *orderRow) market.Purchase {
	p := market.Purchase{ID: o.ID, Terms: termsOf(&o.Request), Since: o.Created, Placed: o.Created,
		Provider: old.Provider, Rate: old.Rate, Channel: old.Channel, Home: old.Finished, Later: old.RefundLater,
		Paid: old.Paid, Returned: old.Returned, Tx: old.FinishSig}
	if o.Lease != nil {
		p.Lease, p.Began = o.Lease.ID, o.Created
	}
	if n := len(o.Steps); n > 0 {
		p.Since = o.Steps[n-1].At
	}
	waits := o.Lease == nil || o.Lease.State == market.Proposed // later stops are in the lease itself
	if old.StopAsked && waits {
		p.StopCode, p.Stops = market.CodeStopped, 1
	}
	switch old.Standing {
	case StandingInputs:
		p.Stage = market.StageInputs
	case StandingSearching:
		p.Stage = market.StageQuoting
	case StandingFunding:
		p.Stage = market.StageFunding
	case StandingLeased:
		p.Stage = market.StageLeased
	default:
		p.Stage, p.Failed = market.StageOver, old.Standing == StandingFailed
		p.End = market.Reason{Code: cmp.Or(old.Code, market.CodeInternal), Detail: old.Detail, Hint: old.Hint}
		p.Later = !p.Home && p.Channel != (market.ChannelID{})
		p.Lingers = !p.Failed && o.Lease != nil && o.Lease.LetGo && !o.Lease.Terminal()
	}
	return p
}

// tickOf reads the row of an own lease.
func (c *Customer) tickOf(id market.LeaseID) (rows.Tick, error) {
	b, err := c.db.Get(bucketTicks, id[:])
	if err != nil {
		return rows.Tick{}, err
	}
	return rows.DecodeTick(id, market.CustomerSide, b)
}
