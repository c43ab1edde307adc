package customer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// promise is what an order that has no lease yet counts on: its provider's headroom, and the price of its hour within
// its cap.
type promise struct{ headroom, hourly market.Amount }

// desk is where this node's orders stand in line for money at one provider: one funds at a time, for those behind it
// too, so that they share its channel. Twenty orders at once would else open twenty channels.
type desk struct {
	turn chan struct{} // full while one funds
	mu   sync.Mutex
	line map[*orderRun]market.Amount // what those in line need
}

func (d *desk) join(r *orderRun, need market.Amount) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line[r] = need
}

func (d *desk) leave(r *orderRun) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.line, r)
}

func (d *desk) waiting() (sum market.Amount, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, need := range d.line {
		sum += need
	}
	return sum, len(d.line)
}

func (c *Customer) deskOf(provider market.NodeID) *desk {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.desks[provider]
	if d == nil {
		d = &desk{turn: make(chan struct{}, 1), line: map[*orderRun]market.Amount{}}
		c.desks[provider] = d
	}
	return d
}

// funded returns a Channel whose money the order may count on until drop: promised to it, so that no other order of
// this node takes it and its channel is not closed. Errors: fund's, ctx's.
func (r *orderRun) funded(ctx context.Context, req *Request, off *offered) (*channel, error) {
	c := r.c
	limit := leaseCap(req, off)
	need, err := depositOf(off, limit)
	if err != nil {
		return nil, err
	}
	d := c.deskOf(off.provider)
	d.join(r, need)
	defer d.leave(r)
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.leave(r)
	others, _ := d.waiting()
	others = c.spare(ctx, need, others)
	say := func(phase, detail string) { r.say(ctx, phase, detail) }
	ch, err := c.fund(ctx, req, off, need+others, say)
	if code := market.CodeOf(err); others > 0 && (code == market.CodeFundsShort || code == market.CodeSpendCap) {
		ch, err = c.fund(ctx, req, off, need, say) // for the others there is no money: they find out themselves
	}
	if err != nil {
		return nil, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.promised == nil {
		ch.promised = map[*orderRun]promise{}
	}
	ch.promised[r] = promise{min(limit, off.quote.MinHeadroom), need}
	return ch, nil
}

// drop ends the promise: the lease has its share, or there is none.
func (ch *channel) drop(r *orderRun) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.promised, r)
}

// holds reports whether the channel's rest carries one more lease beside its own, which cost hourly, and beside what is
// promised. a is its account with all that is seen. Caller holds ch.mu.
func (ch *channel) holds(a escrow.Account, headroom, own, hourly market.Amount) bool {
	hourly += own
	for _, p := range ch.promised {
		headroom += p.headroom
		hourly += p.hourly
	}
	rest := own
	for _, s := range a.Leases {
		if s.Live {
			rest += s.Cap - min(s.Paid, s.Cap)
		}
	}
	return a.Headroom() >= headroom && a.Seen-min(a.PaidSum(), a.Seen) >= min(hourly, rest)/5
}

// expected reports that an order is about to use the channel: one has its promise, stands in line at its provider, or
// waits until that has a device. The channel is left open for it, and closed by closeIdle once no order needs it.
func (c *Customer) expected(ch *channel) bool {
	provider := ch.row().Provider
	ch.mu.Lock()
	promised := len(ch.promised)
	ch.mu.Unlock()
	if promised > 0 {
		return true
	}
	if _, n := c.deskOf(provider).waiting(); n > 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		r.mu.Lock()
		why, _ := r.place.refused(provider)
		waits := why != nil && searches(&r.row) && waitsFor(why) == patience
		r.mu.Unlock()
		if waits {
			return true
		}
	}
	return false
}

// spare is how much of others the wallet can carry beside need; with a wallet that cannot be read, nothing.
func (c *Customer) spare(ctx context.Context, need, others market.Amount) market.Amount {
	if others == 0 {
		return 0
	}
	have, err := c.ledger.Balance(ctx, c.cfg.Payer)
	if err != nil || have < need+others {
		return 0
	}
	return others
}

// depositOf is what one order puts into a channel: one hour of price, at most its cap, at least what the provider asks
// for to begin.
func depositOf(o *offered, limit market.Amount) (market.Amount, error) {
	hourly, err := o.quote.Rate.For(len(o.quote.Devices), time.Hour)
	if err != nil {
		return 0, fmt.Errorf("price of an hour: %w", err)
	}
	return max(escrow.FirstDeposit(limit, hourly), min(limit, 2*o.quote.MinHeadroom)), nil
}

// awaited is expected, by the channel's id.
func (c *Customer) awaited(id market.ChannelID) bool {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	return ch != nil && c.expected(ch)
}
