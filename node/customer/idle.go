package customer

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
)

// keepIdle is how long a channel that was asked to be kept waits for its next job; closeAgain how long after a close
// that did not work it is tried again.
const (
	keepIdle   = 24 * time.Hour
	closeAgain = time.Minute
)

// closeIdle gets the money of a channel back that no order needs any more: one that was opened and never used, one
// whose finish did not work, one that its last job left for another, one that was kept long enough. No order looks
// after these.
func (c *Customer) closeIdle(ctx context.Context, ch *channel) {
	if ch.left.Swap(true) {
		return
	}
	c.wg.Go(func() {
		if err := c.CloseChannel(ctx, ch.id); err != nil {
			if ctx.Err() == nil {
				c.log.Warn("Channel that no order uses was not closed", "channel", ch.id, "error", err)
			}
			_ = await.Sleep(ctx, closeAgain) // ctx ends the loop that would call again
		}
		ch.left.Store(false)
	})
}

// needed reports whether an order uses the channel, may still come to use it, or wants it kept.
func (c *Customer) needed(ch *channel) bool {
	provider := ch.row().Provider
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		r.mu.Lock()
		wants := r.needs(ch.id, provider)
		r.mu.Unlock()
		if wants {
			return true
		}
	}
	return false
}

// needs is needed for one order. Caller holds r.mu.
func (r *orderRun) needs(id market.ChannelID, provider market.NodeID) bool {
	o := &r.row
	switch {
	case o.Needs(id, provider):
		return true
	case searches(o):
		why, some := r.place.refused(provider)
		return why != nil || !some // it waits for this one, or has not asked anybody yet
	case o.Channel != id:
		return false
	case !o.Request.KeepChannel && (o.Lease == nil || !o.Lease.KeepChannel):
		return false
	}
	last := o.Created
	if n := len(o.Steps); n > 0 {
		last = o.Steps[n-1].At
	}
	return r.c.now().Sub(last) < r.c.cfg.KeepIdle
}

// searches reports an order that has chosen no provider yet.
func searches(o *orderRow) bool {
	return o.Stage == market.StageSearching || o.Stage == market.StageQuoting
}
