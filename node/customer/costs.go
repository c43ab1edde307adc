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
	Network  market.Amount `json:"network"` // fees of own transactions
	ClaimFee market.Amount `json:"claim_fee"`
	Storage  market.Amount `json:"storage"`
}

// Spends implements purse.Orders: what an order's transactions cost is noted before they are submitted.
func (b buyers) Spends(ctx context.Context, in escrow.Intent, opener, by market.OrderID) error {
	r := b.spender(in, opener, by)
	if r == nil {
		return nil
	}
	e := cost{Key: in.Key(), Op: in.Op, Channel: in.Channel, ClaimFee: in.ClaimFee}
	known := slices.ContainsFunc(r.snapshot().Costs, func(k cost) bool { return k.Key == e.Key && !k.Done })
	if known {
		return nil
	}
	if in.Op == escrow.OpOpen {
		head, err := b.c.ledger.Head(ctx)
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

// spender is the order that a transaction on a channel is for; nil: it is not known any more.
func (b buyers) spender(in escrow.Intent, opener, by market.OrderID) (r *orderRun) {
	if r = b.payer(in.Key()); r != nil {
		return r // sent before for this order: no other one pays its fee again
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if r = b.c.runs[by]; r != nil {
		return r
	}
	r = b.c.runs[opener]
	for _, id := range b.c.order {
		run := b.c.runs[id]
		run.mu.Lock()
		if run.row.Purchase.Uses(in.Channel) {
			r = run
		}
		run.mu.Unlock()
	}
	return r
}

// payer is the order among whose costs a transaction is; nil: none.
func (b buyers) payer(key string) (payer *orderRun) {
	b.any(func(r *orderRun) bool {
		if slices.ContainsFunc(r.row.Costs, func(k cost) bool { return k.Key == key }) {
			payer = r
		}
		return payer != nil
	})
	return payer
}

// judge completes a cost by what became of its intent. A record that is not known any more was never submitted, or
// ended a day ago.
func (b buyers) judge(ctx context.Context, k cost) cost {
	if k.Done {
		return k
	}
	res, ok, err := b.c.ledger.Result(ctx, k.Key)
	if err != nil || !ok {
		return k
	}
	k.Fee, k.Took = res.Cost(), res.State == escrow.ConfirmedTx || res.State == escrow.Final
	k.Done = res.State == escrow.Failed || res.State == escrow.Final
	return k
}

// costsOf sums what an order's transactions have cost by now.
func (b buyers) costsOf(ctx context.Context, o *orderRow) (sum Costs) {
	for _, k := range o.Costs {
		k = b.judge(ctx, k)
		sum.Network += k.Fee
		if k.Op == escrow.OpOpen && k.Took {
			sum.ClaimFee += k.ClaimFee
			if !b.c.Reclaimed(ctx, k.Channel) {
				sum.Storage += k.Storage
			}
		}
	}
	return sum
}

// Spent implements purse.Orders: it makes durable what the ledger's own records keep for a day only.
func (b buyers) Spent(ctx context.Context, key string) {
	r := b.payer(key)
	if r == nil {
		return
	}
	is := func(k cost) bool { return k.Key == key && !k.Done }
	costs := r.snapshot().Costs
	i := slices.IndexFunc(costs, is)
	if i < 0 {
		return
	}
	k := b.judge(ctx, costs[i])
	if !k.Done {
		return
	}
	err := r.update(ctx, func(o *orderRow) {
		if i := slices.IndexFunc(o.Costs, is); i >= 0 {
			o.Costs = slices.Clone(o.Costs)
			o.Costs[i] = k
		}
	})
	if err != nil && ctx.Err() == nil {
		b.c.log.Warn("Cost of a transaction was not stored", "intent", key, "error", err) // the next start tells again
	}
	b.c.archive.look()
}
