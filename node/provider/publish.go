package provider

import (
	"context"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// offerLife is how long an Offer lives unless renewed; it is renewed at half of it. Peers take twelve Offers of a
// signer a minute and drop the rest, so a newer one waits for its turn, after a burst of offerBurst: the last state
// must never be the one that was dropped. Yet a device that is free again is for sale only once its Offer has left: the
// pace is little below what peers take.
const (
	offerLife  = time.Hour
	offerGap   = 6 * time.Second
	offerBurst = 10
)

// Of a start and a move: firstWait is how long the first Offer waits for the engine's check and for an address,
// firstLook how often it looks for them, moveWait how long own addresses must stay before an Offer tells them: they
// come one by one.
const (
	firstWait = 30 * time.Second
	firstLook = 100 * time.Millisecond
	moveWait  = 2 * time.Second
)

// awaitFirst waits, at most firstWait, until the first Offer has something to say: a rig that was restarted would
// withdraw its last Offer, which peers still hold, before it knows that it may sell; and an Offer without an address
// cannot be answered. Error: ctx's.
func (p *Provider) awaitFirst(ctx context.Context) error {
	end := time.NewTimer(firstWait)
	defer end.Stop()
	look := time.NewTicker(firstLook)
	defer look.Stop()
	for {
		reach := len(p.reach()) > 0
		p.mu.Lock()
		checked, sells, selling := p.health.checked, p.sells(), p.selling
		p.mu.Unlock()
		if !selling || checked && (!sells || reach) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		case <-end.C:
			if !checked {
				p.log.Warn("Nothing is offered yet: the engine's check takes long")
			} else if !reach {
				p.log.Warn("This rig has no address that others can reach, neither its own nor a relay's: its offer " +
					"leaves without one, and again once there is one")
			}
			return nil
		}
	}
}

// moveLoop publishes when the own addresses are others than those in the last Offer: the first ones, a relay's, those
// of another network.
func (p *Provider) moveLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.moved:
		}
		for settled := false; !settled; {
			t := time.NewTimer(moveWait)
			select {
			case <-ctx.Done():
			case <-p.moved:
			case <-t.C:
				settled = true
			}
			t.Stop()
			if ctx.Err() != nil {
				return
			}
		}
		now := p.reach()
		p.mu.Lock()
		same := slices.Equal(now, p.told)
		p.mu.Unlock()
		if !same {
			p.log.Info("Own addresses have changed", "addresses", now)
			p.offerChanged()
		}
	}
}

// publishLoop republishes at half of the lifetime and on each change.
func (p *Provider) publishLoop(ctx context.Context) error {
	pace := rate.NewLimiter(rate.Every(offerGap), offerBurst)
	if err := p.awaitFirst(ctx); err != nil {
		return err
	}
	for {
		p.waitTurn(ctx, pace) // also without peers: our own gossip counts them too
		select {
		case <-p.changed: // it is in this one
		default:
		}
		if err := p.publish(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("Offer was not published", "error", err)
		}
		wait := offerLife / 2
		if p.peersSeen() == 0 {
			wait = 2 * time.Second // nobody heard it: say it again soon
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-p.changed:
			t.Stop()
		case <-t.C:
		}
	}
}

// waitTurn waits until another Offer may leave; a withdrawal leaves at once.
func (p *Provider) waitTurn(ctx context.Context, pace *rate.Limiter) {
	turn := pace.Reserve()
	for turn.Delay() > 0 {
		p.mu.Lock()
		sells := p.sells()
		p.mu.Unlock()
		if !sells {
			return
		}
		t := time.NewTimer(turn.Delay())
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-p.changed: // it is in the Offer that waits, unless it is the withdrawal
		case <-t.C:
		}
		t.Stop()
	}
}

// offerChanged asks for a new Offer; many changes coalesce.
func (p *Provider) offerChanged() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}
