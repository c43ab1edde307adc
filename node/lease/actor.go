// Package lease runs one actor per lease: event -> market.Lease.Apply -> commit -> effects.
//
// Invariants: no effect before its commit; an illegal event changes nothing. Concurrency: one event at a time, in arrival order; the
// inbox holds 64, full for 1 s: Send returns an Error of kind unavailable. Persistence: through Store, by the role that owns the actor;
// effects that must survive a crash are derived again from the state (market.Restarted, Want). Next: Actor.Serve, docs/flows/crash.md.
package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/market"
)

const (
	inboxSize = 64
	sendWait  = time.Second
	retryMin  = 100 * time.Millisecond
	retryMax  = 30 * time.Second
	noTimer   = time.Hour
)

// Store makes a lease's new state durable; nil means it is on disk, together with what its effects need.
type Store interface {
	CommitLease(ctx context.Context, l market.Lease, effects []market.Effect) error
}

// Act performs one effect of a committed state; it must be idempotent. An error is retried with back-off until ctx ends.
type Act func(ctx context.Context, l market.Lease, e market.Effect) error

type letter struct {
	ev   market.Event
	done chan error
}

// Actor owns one lease. Use New, then Serve; Send and Lease are safe for any goroutine.
type Actor struct {
	state atomic.Pointer[market.Lease]
	store Store
	act   Act
	now   func() time.Time
	log   *slog.Logger
	inbox chan letter
	work  chan effect
}

type effect struct {
	l market.Lease
	e market.Effect
}

// New returns an actor that does nothing until Serve.
func New(l market.Lease, s Store, act Act, now func() time.Time, log *slog.Logger) *Actor {
	a := &Actor{store: s, act: act, now: now, log: log.With("lease", l.ID), inbox: make(chan letter, inboxSize), work: make(chan effect, 4*inboxSize)}
	a.state.Store(&l)
	return a
}

// Lease is the newest committed state.
func (a *Actor) Lease() market.Lease { return *a.state.Load() }

// Send applies an event and returns once its state is committed. Errors: market.ErrIllegal; *market.Error busy; the store's; ctx's.
func (a *Actor) Send(ctx context.Context, ev market.Event) error {
	m := letter{ev: ev, done: make(chan error, 1)}
	t := time.NewTimer(sendWait)
	defer t.Stop()
	select {
	case a.inbox <- m:
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return &market.Error{Code: "busy", Kind: market.KindUnavailable, Op: "send to lease", Hint: "try again"}
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Serve applies events and timers until ctx ends or the lease is over and its effects are done.
func (a *Actor) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var worker sync.WaitGroup
	worker.Go(func() { a.perform(ctx) })
	defer worker.Wait()
	defer cancel() // runs before Wait
	for {
		t := time.NewTimer(a.untilTimer())
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case m := <-a.inbox:
			m.done <- a.apply(ctx, m.ev)
		case <-t.C:
			if err := a.apply(ctx, market.Timer{}); err != nil && !errors.Is(err, market.ErrIllegal) {
				a.log.Error("Lease timer failed", "error", err)
			}
		}
		t.Stop()
	}
}

func (a *Actor) untilTimer() time.Duration {
	due := a.Lease().NextTimer()
	if due.IsZero() {
		return noTimer
	}
	return max(due.Sub(a.now()), 10*time.Millisecond)
}

func (a *Actor) apply(ctx context.Context, ev market.Event) error {
	old := a.Lease()
	next, effects, err := old.Apply(ev, a.now())
	if err != nil {
		return err
	}
	if err := a.store.CommitLease(context.WithoutCancel(ctx), next, effects); err != nil {
		return err
	}
	a.state.Store(&next)
	if old.State != next.State {
		a.log.Info("Lease changed", "from", old.State, "to", next.State, "code", next.Code, "cause", next.Cause, "owed", next.Owed(), "paid", next.Paid)
	}
	for _, e := range effects {
		select {
		case a.work <- effect{next, e}:
		case <-ctx.Done():
			return nil // committed; derived again at the next start
		}
	}
	return nil
}

// perform does the effects in order; one that fails is retried with back-off and holds the later ones up.
func (a *Actor) perform(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-a.work:
			wait := retryMin
			for n := 1; ; n++ {
				err := a.act(ctx, w.l, w.e)
				if err == nil || ctx.Err() != nil {
					break
				}
				if n == 10 {
					a.log.Warn("Effect is stuck", "code", "effect-stuck", "error", err)
				}
				if sleep(ctx, wait) != nil {
					return
				}
				wait = min(2*wait, retryMax)
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
