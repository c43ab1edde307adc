package customer

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
)

// Bounds of waiting for a provider: giveUpWait is how long GiveUp waits until a lease lets its money go, more than the
// machine's last question takes; offlineAfter is how long the ledger may not answer before this node counts as cut off
// itself; maxPrep bounds the preparation that a quote may ask for where the order names no limit.
const (
	giveUpWait   = 20 * time.Second
	offlineAfter = time.Minute
	maxPrep      = 12 * time.Hour
)

// finishEarly ends the close delay of a channel whose provider came back: with its Release the money need not wait for
// the deadline.
func (c *Customer) finishEarly(ctx context.Context, id market.ChannelID) {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil || ch.inUse() {
		return
	}
	p := ch.account().Phase
	closing := p == escrow.PhaseClosing || p == escrow.PhaseReleasing // its Release may be in hand
	if !closing {
		return
	}
	if err := c.finishByRelease(ctx, ch); err != nil && ctx.Err() == nil {
		c.log.Debug("Channel waits for its close delay", "channel", id, "error", err)
	}
}

// finishByRelease closes a channel with its provider's consent. Errors: no Release within releaseWait; the ledger's.
func (c *Customer) finishByRelease(ctx context.Context, ch *channel) error {
	rel, err := c.waitRelease(ctx, ch)
	if err != nil {
		return err
	}
	in := escrow.Intent{Op: escrow.OpFinish, Channel: ch.id, Nonce: uint64(rel.Expires), Release: rel}
	if err := c.ledger.Submit(ctx, in); err != nil {
		return err
	}
	return c.waitFinished(ctx, ch, in.Key())
}

// offline reports that this node does not hear the ledger: a provider that is unheard meanwhile is not silent, and no
// money could be asked back.
func (c *Customer) offline() bool {
	at := c.chain.Load()
	return at != 0 && c.now().Sub(time.Unix(0, at)) > offlineAfter+3*c.cfg.ChainEvery
}

// startTimeout is the order's, else what the quote asks for, within maxPrep.
func startTimeout(order, quote time.Duration) time.Duration {
	if order > 0 {
		return order
	}
	return min(quote, maxPrep)
}

// GiveUp ends what keeps the channel's money with a provider that is not heard, and what only waits for outputs: the
// user wants it back. It returns once no lease holds the channel. Errors: lease-live (a job is paid from it); ctx's.
func (c *Customer) GiveUp(ctx context.Context, id market.ChannelID) error {
	ctx, cancel := context.WithTimeout(ctx, giveUpWait)
	defer cancel()
	for {
		held := false
		for _, r := range c.runsOn(id) {
			m := r.hire.now()
			if m.MoneyOver() {
				continue
			}
			held = true
			if m.State != market.Silent && m.State != market.Stopping && m.State != market.Closing {
				if m.Heard(c.now()) {
					return errLive()
				}
				continue // it is about to be silent
			}
			if m.State != market.Stopping || !m.Heard(c.now()) { // a job that was told to stop has its grace
				r.hire.giveUp(ctx)
			}
		}
		c.mu.Lock()
		ch := c.channels[id]
		c.mu.Unlock()
		if !held && (ch == nil || !ch.inUse()) {
			return nil
		}
		if await.Sleep(ctx, 200*time.Millisecond) != nil {
			return errLive()
		}
	}
}

// runsOn lists the orders whose lease uses a channel and has an actor.
func (c *Customer) runsOn(id market.ChannelID) (out []*orderRun) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		r.mu.Lock()
		if r.row.Channel == id && r.row.Lease != nil && r.hire.at() != nil {
			out = append(out, r)
		}
		r.mu.Unlock()
	}
	return out
}
