package rig

import (
	"context"
	"slices"
	"sync"
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
// moveWait how long own addresses must stay before an Offer tells them: they come one by one.
const (
	firstWait = 30 * time.Second
	moveWait  = 2 * time.Second
)

// announcer says by Offers how the rig stands.
type announcer struct{ *Rig }

// awaitFirst waits, at most firstWait, until the first Offer has something to say: a rig that was restarted would
// withdraw its last Offer, which peers still hold, before it knows that it may sell; and an Offer without an address
// cannot be answered. Error: ctx's.
func (a announcer) awaitFirst(ctx context.Context) error {
	end := time.NewTimer(firstWait)
	defer end.Stop()
	for {
		reach := len(a.deps.Reach.Addrs()) > 0
		a.mu.Lock()
		checked, sells, selling := a.shop.health.checked, a.shop.sells(), a.shop.selling
		a.mu.Unlock()
		if !selling || checked && (!sells || reach) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.changed:
		case <-a.deps.Moved:
		case <-end.C:
			if !checked {
				a.deps.Log.Warn("Nothing is offered yet: the engine's check takes long")
			} else if !reach {
				a.deps.Log.Warn("This rig has no address that others can reach, neither its own nor a relay's: " +
					"its offer " +
					"leaves without one, and again once there is one")
			}
			return nil
		}
	}
}

// serve publishes the first Offer once it says something, then each other one, until ctx ends.
func (a announcer) serve(ctx context.Context) {
	if a.awaitFirst(ctx) != nil {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { a.follow(ctx) })
	a.loop(ctx)
}

// follow publishes when the own addresses are others than those in the last Offer: the first ones, a relay's, those
// of another network.
func (a announcer) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.deps.Moved:
		}
		for settled := false; !settled; {
			t := time.NewTimer(moveWait)
			select {
			case <-ctx.Done():
			case <-a.deps.Moved:
			case <-t.C:
				settled = true
			}
			t.Stop()
			if ctx.Err() != nil {
				return
			}
		}
		now := a.deps.Reach.Addrs()
		a.mu.Lock()
		same := slices.Equal(now, a.said.reach)
		a.mu.Unlock()
		if !same {
			a.deps.Log.Info("Own addresses have changed", "addresses", now)
			a.Changed()
		}
	}
}

// loop publishes at half of the lifetime and on each change, until ctx ends.
func (a announcer) loop(ctx context.Context) {
	pace := rate.NewLimiter(rate.Every(offerGap), offerBurst)
	for {
		a.waitTurn(ctx, pace) // also without peers: our own gossip counts them too
		select {
		case <-a.changed: // it is in this one
		default:
		}
		if err := a.publish(ctx); err != nil && ctx.Err() == nil {
			a.deps.Log.Warn("Offer was not published", "error", err)
		}
		wait := offerLife / 2
		if a.deps.Reach.Peers() == 0 {
			wait = 2 * time.Second // nobody heard it: say it again soon
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-a.changed:
			t.Stop()
		case <-t.C:
		}
	}
}

// waitTurn waits until another Offer may leave; a withdrawal leaves at once.
func (a announcer) waitTurn(ctx context.Context, pace *rate.Limiter) {
	turn := pace.Reserve()
	for turn.Delay() > 0 {
		a.mu.Lock()
		sells := a.shop.sells()
		a.mu.Unlock()
		if !sells {
			return
		}
		t := time.NewTimer(turn.Delay())
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-a.changed: // it is in the Offer that waits, unless it is the withdrawal
		case <-t.C:
		}
		t.Stop()
	}
}
