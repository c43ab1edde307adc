package customer

import (
	"context"
	"slices"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// cost is what one transaction of this wallet cost an order beside what its provider earns. Each transaction belongs to
// one order, so that costs add up to the wallet's own change.
type cost struct {
	Key      string           `json:"Key"` // the intent's
	Op       escrow.Op        `json:"Op"`
	Channel  market.ChannelID `json:"Channel"`
	Fee      market.Amount    `json:"Fee,omitempty"`      // once Done
	ClaimFee market.Amount    `json:"ClaimFee,omitempty"` // OpOpen: for the rig's own transactions
	// OpOpen: what the ledger holds for the channel's account until it is reclaimed
	Storage market.Amount `json:"Storage,omitempty"`
	Took    bool          `json:"Took,omitempty"` // it took effect
	Done    bool          `json:"Done,omitempty"` // nothing of it changes any more
}

// Costs are what an order cost beside what was paid to its provider. Storage is still held by the ledger, and comes
// back.
type Costs struct {
	Network  market.Amount // fees of own transactions
	ClaimFee market.Amount
	Storage  market.Amount
}

// costed is the ledger as the role uses it: what an order's transactions cost is noted before they are submitted.
type costed struct {
	escrow.Ledger
	c *Customer
}

// Submit implements escrow.Ledger.
func (l costed) Submit(ctx context.Context, in escrow.Intent) error {
	if err := l.c.notes(ctx, in); err != nil {
		return err
	}
	return l.Ledger.Submit(ctx, in)
}

// notes enters an intent in the books of the order that it is for: the one that opens the channel or adds to it at its
// start, else the newest that uses it.
func (c *Customer) notes(ctx context.Context, in escrow.Intent) error {
	r := c.spender(in)
	if r == nil {
		return nil
	}
	e := cost{Key: in.Key(), Op: in.Op, Channel: in.Channel, ClaimFee: in.ClaimFee}
	known := slices.ContainsFunc(r.snapshot().Costs, func(k cost) bool { return k.Key == e.Key && !k.Done })
	if known {
		return nil
	}
	if in.Op == escrow.OpOpen {
		head, err := c.ledger.Head(ctx)
		if err != nil {
			return err
		}
		e.Storage = market.Amount((escrow.AccountOverhead + escrow.ChannelLen) * head.RentPerByte)
	}
	return r.update(ctx, func(o *orderRow) {
		i := slices.IndexFunc(o.Costs, func(k cost) bool { return k.Key == e.Key })
		o.Costs = slices.Clone(o.Costs) // views share the old ones
		if i >= 0 {                     // it failed before and is tried again
			o.Costs[i].Done = false
			return
		}
		o.Costs = append(o.Costs, e)
	})
}

// spender is the order that a transaction on a channel is for; nil: no order, as with a withdrawal.
func (c *Customer) spender(in escrow.Intent) (r *orderRun) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.channels[in.Channel]
	if ch == nil {
		return nil
	}
	opener := ch.row().Order
	ch.mu.Lock()
	grower := ch.grower
	ch.mu.Unlock()
	if in.Op == escrow.OpOpen {
		return c.runs[opener]
	}
	r = c.runs[opener]
	for _, id := range c.order {
		run := c.runs[id]
		run.mu.Lock()
		uses := run.row.Purchase.Uses(in.Channel)
		has := slices.ContainsFunc(run.row.Costs, func(k cost) bool { return k.Key == in.Key() })
		run.mu.Unlock()
		if has { // sent before for this order: no other one pays its fee again
			return run
		}
		if uses {
			r = run
		}
	}
	if run := c.runs[grower]; run != nil && in.Op == escrow.OpTopUp {
		return run
	}
	return r
}

// judge completes a cost by what became of its intent. A record that is not known any more was never submitted, or
// ended a day ago.
func (c *Customer) judge(ctx context.Context, k cost) cost {
	if k.Done {
		return k
	}
	res, ok, err := c.ledger.Result(ctx, k.Key)
	if err != nil || !ok {
		return k
	}
	k.Fee, k.Took = res.Cost(), res.State == escrow.ConfirmedTx || res.State == escrow.Final
	k.Done = res.State == escrow.Failed || res.State == escrow.Final
	return k
}

// costsOf sums what an order's transactions have cost by now.
func (c *Customer) costsOf(ctx context.Context, o *orderRow) (sum Costs) {
	for _, k := range o.Costs {
		k = c.judge(ctx, k)
		sum.Network += k.Fee
		if k.Op == escrow.OpOpen && k.Took {
			sum.ClaimFee += k.ClaimFee
			if !c.reclaimed(k.Channel) {
				sum.Storage += k.Storage
			}
		}
	}
	return sum
}

// reclaimed reports that a channel's account is gone, and with it what the ledger held for it.
func (c *Customer) reclaimed(id market.ChannelID) bool {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil {
		return true
	}
	phase := ch.account().Phase
	return phase == escrow.PhaseGone || phase == escrow.PhaseLost
}

// settleCosts makes durable what the ledger's own records keep for a day only.
func (c *Customer) settleCosts(ctx context.Context) {
	for _, r := range c.all() {
		o := r.snapshot()
		next, changed := slices.Clone(o.Costs), false
		for i, k := range next {
			if next[i] = c.judge(ctx, k); next[i].Done && !k.Done {
				changed = true
			}
		}
		if changed && ctx.Err() == nil {
			_ = r.update(ctx, func(o *orderRow) { // tried again at the next look
				for _, k := range next {
					if i := slices.IndexFunc(o.Costs, func(old cost) bool { return old.Key == k.Key }); i >= 0 &&
						k.Done {
						o.Costs = slices.Clone(o.Costs)
						o.Costs[i] = k
					}
				}
			})
		}
	}
}
