// Package lease runs one actor per lease: event -> market.Lease.Apply -> commit -> effects.
//
// Invariants: no effect before its commit; effects run in order and are repeated until they succeed, so each must be
// idempotent (by lease id and its content). Illegal events change nothing. Concurrency: one event at a time, in arrival
// order; the inbox holds 64; full for 1 s: Send returns a *market.Error of kind unavailable. Persistence: what the
// given Store keeps; after a restart market.Restarted brings all that market.Lease.Due lists, so nothing else need
// survive. Next: Actor.Serve, docs/flows/order.md, docs/flows/crash.md.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/store"
)

// Bounds of an actor: inbox, waiting effects (each kind and content once), how long Send waits, retries, and the
// failure from which on they are told as a warning.
const (
	inboxSize   = 64
	inboxWait   = time.Second
	maxEffects  = 256
	retryFirst  = 100 * time.Millisecond
	retryMost   = 30 * time.Second
	stuckFrom   = 10
	timerAtMost = time.Hour
	diskAgain   = time.Second
)

// Store makes a lease durable together with the effects that its new state asks for; nil once they are on disk.
type Store interface {
	Commit(ctx context.Context, l market.Lease, effects []market.Effect) error
}

// Act performs one effect; nil: done. An error is retried with back-off, also a *market.Refusal that passes, not before
// its RetryAfter; any other Refusal and ErrGiveUp are logged and dropped.
type Act func(ctx context.Context, l market.Lease, e market.Effect) error

// ErrGiveUp, wrapped in an Act's error, says that a retry is of no use.
var ErrGiveUp = errors.New("not retried")

// Config of an Actor. Lease: as stored, after its first event. Clock: wall time and boot-time ms of the node, required.
// SameBoot: the Lease was stored in this boot of the machine. Offline: this node hears neither a peer nor the chain;
// nil = never.
type Config struct {
	Lease    market.Lease
	Clock    func() (now time.Time, bootMS uint64)
	SameBoot bool
	Offline  func() bool
}

// Validate joins all faults of the config.
func (c Config) Validate() error {
	var errs []error
	if c.Lease.State == 0 {
		errs = append(errs, fmt.Errorf("lease %s has had no first event", c.Lease.ID))
	}
	if c.Clock == nil {
		errs = append(errs, errors.New("clock is missing"))
	}
	return errors.Join(errs...)
}

// Actor owns one lease. Use New, then Serve; Send and Lease are safe for any goroutine.
type Actor struct {
	cfg   Config
	disk  Store
	act   Act
	log   *slog.Logger
	inbox chan mail
	now   atomic.Pointer[market.Lease]
	bell  await.Bell
	work  queue
	done  chan struct{}
	ended sync.Once
}

// Turn books something beside the lease's own step, in one Change with it. It is called in the actor's turn with what
// applies an event to the lease as it is then, and returns once all is on disk; the lease that apply returned last is
// what was stored. It need not apply anything.
type Turn func(ctx context.Context, apply func(market.Event) (market.Lease, []market.Effect, error)) error

// mail is an event, or a turn; answer, if not nil, gets the result of Apply and commit.
type mail struct {
	ev     market.Event
	turn   Turn
	answer chan error
}

// New returns an actor that does nothing yet. Errors: Config.Validate's, or a part is missing.
func New(cfg Config, disk Store, act Act, log *slog.Logger) (*Actor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lease actor: %w", err)
	}
	if disk == nil || act == nil || log == nil {
		return nil, errors.New("lease actor: store, act and log are required")
	}
	a := &Actor{
		cfg: cfg, disk: disk, act: act, log: log.With("lease", cfg.Lease.ID, "side", cfg.Lease.Side.String()),
		inbox: make(chan mail, inboxSize), done: make(chan struct{}), work: queue{wake: make(chan struct{}, 1)},
	}
	a.now.Store(&cfg.Lease)
	return a, nil
}

// Lease returns the newest committed lease.
func (a *Actor) Lease() market.Lease { return *a.now.Load() }

// Watch returns what is closed once the next step of the lease is committed. Who takes it before Lease misses none.
func (a *Actor) Watch() <-chan struct{} { return a.bell.Next() }

// Await returns the first committed lease of which ok is true; ok is asked at each step. Errors: ctx's.
func (a *Actor) Await(ctx context.Context, ok func(market.Lease) bool) (l market.Lease, err error) {
	err = a.bell.Until(ctx, func() bool { l = a.Lease(); return ok(l) })
	return l, err
}

func (a *Actor) String() string { return a.cfg.Lease.ID.String() }

// Done is closed when Serve has returned.
func (a *Actor) Done() <-chan struct{} { return a.done }

// Send puts an event into the inbox. Errors: ctx's; *market.Error busy (kind unavailable): full for 1 s, or the actor
// has ended.
func (a *Actor) Send(ctx context.Context, ev market.Event) error { return a.post(ctx, mail{ev: ev}) }

// Do sends an event and waits until it is applied and committed. Errors: Send's, market.ErrIllegal,
// market.ErrInvariant, the Store's. From Act it is safe.
func (a *Actor) Do(ctx context.Context, ev market.Event) error { return a.ask(ctx, mail{ev: ev}) }

// DoWith gives the actor's turn to t and waits for it. Errors: Send's, t's.
func (a *Actor) DoWith(ctx context.Context, t Turn) error { return a.ask(ctx, mail{turn: t}) }

func (a *Actor) ask(ctx context.Context, m mail) error {
	m.answer = make(chan error, 1)
	if err := a.post(ctx, m); err != nil {
		return err
	}
	select {
	case err := <-m.answer:
		return err
	case <-a.done:
		select { // it may have been answered just before the end
		case err := <-m.answer:
			return err
		default:
			return busy("the lease's actor has ended")
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *Actor) post(ctx context.Context, m mail) error {
	select {
	case <-a.done: // first alone: with room in the inbox, one select would choose by chance
		return busy("the lease's actor has ended")
	default:
	}
	select {
	case a.inbox <- m:
		return nil
	default:
	}
	t := time.NewTimer(inboxWait)
	defer t.Stop()
	select {
	case a.inbox <- m:
		return nil
	case <-a.done:
		return busy("the lease's actor has ended")
	case <-t.C:
		return busy("the lease's inbox is full")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func busy(detail string) error {
	return &market.Error{Code: market.CodeBusy, Kind: market.KindUnavailable, Op: "send to lease", Detail: detail,
		Hint: "try again in a second"}
}

// Serve begins with market.Restarted, then applies events until ctx ends (returns ctx.Err()) or a commit fails (returns
// that error: the caller ends the process, the disk has the truth). A terminal lease is still served: late payments are
// taken. Call it once.
func (a *Actor) Serve(ctx context.Context) error {
	defer a.ended.Do(func() { close(a.done) })
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { a.perform(ctx) })
	_, boot := a.cfg.Clock()
	if err := a.apply(ctx, mail{ev: market.Restarted{SameBoot: a.cfg.SameBoot, BootMS: boot}}); err != nil {
		return err
	}
	timer := time.NewTimer(a.wait())
	defer timer.Stop()
	for {
		m := mail{}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m = <-a.inbox:
		case <-timer.C:
			if !a.due() {
				timer.Reset(a.wait())
				continue
			}
			_, boot := a.cfg.Clock()
			m.ev = market.Timer{BootMS: boot, Offline: a.cfg.Offline != nil && a.cfg.Offline()}
		}
		if err := a.apply(ctx, m); err != nil {
			return err
		}
		timer.Reset(a.wait())
	}
}

func (a *Actor) due() bool {
	now, _ := a.cfg.Clock()
	at := a.Lease().NextTimer(now)
	return !at.IsZero() && !at.After(now) || a.cfg.Lease.Side == market.CustomerSide && !at.IsZero()
}

// wait is the time to the next Timer; at least 10 ms, so that a deadline in the past cannot spin.
func (a *Actor) wait() time.Duration {
	now, _ := a.cfg.Clock()
	at := a.Lease().NextTimer(now)
	if at.IsZero() {
		return timerAtMost
	}
	return min(max(at.Sub(now), 10*time.Millisecond), timerAtMost)
}

// step is Apply of the lease as it is; what is not applied is logged.
func (a *Actor) step(ctx context.Context, ev market.Event) (market.Lease, []market.Effect, error) {
	was := a.Lease()
	now, _ := a.cfg.Clock()
	l, effects, err := was.Apply(ev, now)
	if err != nil {
		level := slog.LevelDebug
		if !errors.Is(err, market.ErrIllegal) {
			level = slog.LevelError
		}
		a.log.Log(ctx, level, "Lease event was not applied", "event", fmt.Sprintf("%T", ev), "state",
			was.State.String(), "error", err)
	}
	return l, effects, err
}

// take gives a turn away. An error is the Store's, which is dead: the disk has the truth.
func (a *Actor) take(ctx context.Context, m mail) error {
	was := a.now.Load()
	l, effects := was, []market.Effect(nil)
	err := m.turn(ctx, func(ev market.Event) (market.Lease, []market.Effect, error) {
		next, due, err := a.step(ctx, ev)
		if err == nil {
			l, effects = &next, due
		}
		return next, due, err
	})
	if err != nil {
		m.reply(err)
		if errors.Is(err, store.ErrDead) || errors.Is(err, store.ErrClosed) {
			return fmt.Errorf("commit lease %s: %w", l.ID, err)
		}
		return nil
	}
	if l != was {
		a.became(ctx, l, effects)
	}
	m.reply(nil)
	return nil
}

// apply is one event: Apply, commit if something durable changed, then queue the effects. An error is the Store's.
func (a *Actor) apply(ctx context.Context, m mail) error {
	if m.turn != nil {
		return a.take(ctx, m)
	}
	was := a.Lease()
	l, effects, err := a.step(ctx, m.ev)
	if err != nil {
		m.reply(err)
		return nil
	}
	if len(effects) > 0 || l.Durable() != was.Durable() {
		if err := a.commit(ctx, l, effects); err != nil {
			err = fmt.Errorf("commit lease %s: %w", l.ID, err)
			m.reply(err)
			return err
		}
	}
	a.became(ctx, &l, effects)
	m.reply(nil)
	return nil
}

// became makes a committed step known and its effects due.
func (a *Actor) became(ctx context.Context, l *market.Lease, effects []market.Effect) {
	was := a.now.Swap(l)
	if l.State != was.State {
		level := slog.LevelInfo
		if was.State == market.Preparing && l.State == market.Paused && l.Cause == market.CauseUnpaid {
			level = slog.LevelDebug // each job begins with a wait for its first payment
		}
		a.log.Log(ctx, level, "Lease changed", "from", was.State.String(), "to", l.State.String(), "cause", l.Cause,
			"code", l.Code)
	}
	a.work.add(effects)
	a.bell.Ring()
}

// commit makes the step durable. A full disk is waited for: an actor that ended would leave its job to run without a
// meter, and an event that was dropped could be the end of it. Nothing is done meanwhile, since nothing may be done
// before it is stored.
func (a *Actor) commit(ctx context.Context, l market.Lease, effects []market.Effect) error {
	for told := false; ; told = true {
		err := a.disk.Commit(context.WithoutCancel(ctx), l, effects) // a shutdown must not tear a commit off its answer
		if !errors.Is(err, store.ErrDiskFull) {
			return err
		}
		if !told {
			a.log.Error("Lease waits for room on the disk", "code", market.CodeDiskFull, "error", err)
		}
		if await.Sleep(ctx, diskAgain) != nil {
			return err
		}
	}
}

func (m mail) reply(err error) {
	if m.answer != nil {
		m.answer <- err
	}
}
