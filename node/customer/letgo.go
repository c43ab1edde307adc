package customer

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer/purse"
)

// Bounds of waiting for a provider: giveUpWait is how long GiveUp waits until a lease lets its money go, more than the
// machine's last question takes; offlineAfter is how long the ledger may not answer before this node counts as cut off
// itself; maxPrep bounds the preparation that a quote may ask for where the order names no limit.
const (
	giveUpWait   = 20 * time.Second
	offlineAfter = time.Minute
	maxPrep      = 12 * time.Hour
)

// offline reports that this node does not hear the ledger: a provider that is unheard meanwhile is not silent, and no
// money could be asked back.
func (c *Customer) offline() bool {
	at := c.Heard()
	return !at.IsZero() && c.now().Sub(at) > offlineAfter+3*c.cfg.ChainEvery
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
	var g errgroup.Group
	for _, r := range c.runsOn(id) {
		g.Go(func() error { return r.hire.letGo(ctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if ch := c.Of(id); ch != nil && ch.AwaitIdle(ctx) != nil {
		return purse.ErrLive()
	}
	return nil
}

// letGo ends what keeps a lease's money with a provider that is not heard, and returns once nothing does. Errors:
// lease-live.
func (h *hire) letGo(ctx context.Context) error {
	a, told := h.at(), market.LeaseState(0)
	for {
		changed := a.Watch()
		m := a.Lease()
		heard := m.Heard(h.r.c.now())
		switch {
		case m.MoneyOver():
			return nil
		case m.State == market.Stopping && heard || m.State == told: // one that was told to stop has its grace
		case m.State == market.Silent || m.State == market.Stopping || m.State == market.Closing:
			told = m.State
			h.giveUp(ctx)
		case heard:
			return purse.ErrLive()
		}
		select { // one that is not heard is about to be silent
		case <-ctx.Done():
			return purse.ErrLive()
		case <-changed:
		}
	}
}

// runsOn lists the orders whose lease uses a channel and has an actor.
func (l *orders) runsOn(id market.ChannelID) (out []*orderRun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runs {
		r.mu.Lock()
		if r.row.Channel == id && r.row.Lease != nil && r.hire.at() != nil {
			out = append(out, r)
		}
		r.mu.Unlock()
	}
	return out
}
