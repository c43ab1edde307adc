package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// How often the engine is asked while it works, and else while want and seen differ; how often the customer hears of it
// all the same.
const (
	joinEvery   = 5 * time.Millisecond
	settleEvery = 100 * time.Millisecond
	reportEvery = 2 * time.Second
)

// leaseRow is what the store keeps of a lease beside its tick: documents, as they were received or signed, and what
// changes once or twice.
type leaseRow struct {
	From        market.NodeID     `json:"From"`
	Raw         []byte            `json:"Raw"` // the Lease envelope as received
	Channel     market.ChannelID  `json:"Channel"`
	Decision    []byte            `json:"Decision"`
	Outcome     []byte            `json:"Outcome"` // own
	PeerOutcome []byte            `json:"PeerOutcome"`
	Root        *[32]byte         `json:"Root"`
	InputsReady bool              `json:"InputsReady"`
	BootID      string            `json:"BootID"`
	Seen        []market.DeviceID `json:"Seen"`           // devices at Ready
	Idle        []gpu.Idle        `json:"Idle,omitempty"` // how the GPUs looked before the lease
}

// leaseRun drives one lease: its actor, its job, its messages.
type leaseRun struct {
	d        *desk
	id       market.LeaseID
	key      job.Key
	order    market.Order
	quote    market.Quote
	spec     spec.Spec
	customer market.NodeID
	channel  market.ChannelID
	bind     [64]byte // market.Proposal.BindSig
	actor    *lease.Actor

	kick chan struct{}

	mu   sync.Mutex // rows are queued under it, so that an older one does not overwrite a newer one
	row  leaseRow
	tick rows.Tick // as of the newest Change that was queued
	seen job.Observed

	files  chan struct{} // full while inputs are put, or outputs got or hashed: they exclude each other
	inputs inputs
	prep   preparation
	watch  watch
}

func (d *desk) newLease(pr *proposal, ch market.ChannelID) (*leaseRun, error) {
	terms := market.Terms{
		Rate: pr.quote.Rate, Devices: len(pr.quote.Devices), Tick: pr.quote.Tick, Hold: pr.quote.Hold,
		Prepay:  pr.quote.Prepay > 0,
		PrepMax: pr.quote.PrepMax, MaxDuration: pr.order.MaxDuration, StopGrace: pr.order.StopGrace, Cap: pr.body.Cap,
		Budget: pr.order.Budget,
	}
	m, err := market.NewLease(pr.id, market.ProviderSide, terms)
	if err != nil {
		return nil, market.Refuse(market.CodeSpecMismatch, market.KindInvalid, err.Error())
	}
	now := d.now()
	m, _, err = m.Apply(market.Accepted{}, now)
	if err != nil {
		return nil, fmt.Errorf("accept lease: %w", err)
	}
	decision, err := wire.SealDecision(d.cfg.Key, d.cfg.Network,
		market.Decision{Lease: pr.id, Accepted: true, At: now.Truncate(time.Millisecond)})
	if err != nil {
		return nil, fmt.Errorf("seal decision: %w", err)
	}
	row := leaseRow{From: pr.from, Raw: pr.raw, Channel: ch, Decision: decision, BootID: d.clock.BootID()}
	l, err := d.runOf(row, rows.Tick{Lease: m}, pr)
	if err == nil {
		l.tick = rows.Tick{} // nothing is stored yet
	}
	return l, err
}

func (d *desk) runOf(r leaseRow, t rows.Tick, pr *proposal) (*leaseRun, error) {
	l := &leaseRun{
		d: d, id: pr.id, key: job.Key{Lease: pr.id}, order: pr.order, quote: pr.quote, spec: pr.spec,
		customer: r.From,
		channel:  r.Channel, bind: pr.body.BindSig, kick: make(chan struct{}, 1), files: make(chan struct{}, 1),
		row: r, tick: t,
	}
	l.inputs.l = l
	l.inputs.ready.Store(r.InputsReady || len(pr.spec.Inputs) == 0)
	var err error
	l.actor, err = lease.New(lease.Config{Lease: t.Lease, Clock: d.clock.Read, SameBoot: r.BootID == d.clock.BootID()},
		l,
		l.act, d.log)
	if err != nil {
		return nil, fmt.Errorf("start lease actor: %w", err)
	}
	return l, nil
}

var _ lease.Store = (*leaseRun)(nil)

// Commit implements lease.Store.
func (l *leaseRun) Commit(ctx context.Context, m market.Lease, effects []market.Effect) error {
	l.mu.Lock()
	was := l.tick
	l.mu.Unlock()
	add, err := l.stage(m, effects)
	if err != nil {
		return err
	}
	l.d.books.owe(l, m.Owed())
	var c store.Change
	add(&c)
	if err := l.d.db.Commit(ctx, c); err != nil {
		l.mu.Lock()
		l.tick = was // the actor tries again
		l.mu.Unlock()
		return err
	}
	return nil
}

// stage makes a step of the lease known and returns what stores it: the tick with the Receipt that leaves with the
// state, what it leaves unpaid, its event. Called in the actor's turn, or before the lease is served.
func (l *leaseRun) stage(m market.Lease, effects []market.Effect) (func(*store.Change), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tick
	events := lease.Events(t.Lease.State, m, &t.Events, l.d.now())
	for _, e := range effects {
		if r, ok := e.(market.SendReceipt); ok {
			raw, err := wire.SealReceipt(l.d.cfg.Key, l.d.cfg.Network, r.Receipt)
			if err != nil {
				return nil, fmt.Errorf("seal receipt: %w", err)
			}
			t.Receipt = raw
		}
	}
	owes := func(*store.Change) {}
	if m.Debt != t.Lease.Debt {
		owes = l.d.books.debts.enter(l, m.Debt, l.d.now())
	}
	t.Lease = m
	l.tick = t
	put := store.Put{Bucket: store.BucketTicks, Key: l.id[:], Value: t.Encode()}
	return func(c *store.Change) {
		c.Puts, c.Events = append(c.Puts, put), append(c.Events, events...)
		owes(c)
	}, nil
}

// withFiles waits until nobody else is at the job's files, and keeps them until done is called. Error: ctx's.
func (l *leaseRun) withFiles(ctx context.Context) (done func(), err error) {
	select {
	case l.files <- struct{}{}:
		return func() { <-l.files }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// document puts the lease's documents.
func (l *leaseRun) document() store.Put {
	return store.Put{Bucket: bucketLeases, Key: l.id[:], Value: store.Row(l.row)}
}

// update changes the row and stores it, with what is to be stored beside it.
func (l *leaseRun) update(ctx context.Context, f func(*leaseRow), beside ...store.Put) error {
	done := make(chan error, 1)
	l.mu.Lock()
	f(&l.row)
	l.row.InputsReady = l.inputs.ready.Load()
	err := l.d.db.Queue(store.Change{Puts: append(beside, l.document())}, func(err error) { done <- err })
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return <-done
}

func (l *leaseRun) poke() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// tell applies an event and waits for its commit. What the state does not take, or a lease that is over, is no error:
// peers repeat themselves.
func (l *leaseRun) tell(ctx context.Context, ev market.Event) error {
	if l.over() {
		return nil
	}
	err := l.actor.Do(ctx, ev)
	if errors.Is(err, market.ErrIllegal) || market.CodeOf(err) == market.CodeBusy && l.actor.Lease().Terminal() {
		return nil
	}
	return err
}

// over reports that nothing can change any more: no actor is there to tell.
func (l *leaseRun) over() bool {
	m := l.actor.Lease()
	return m.Terminal() && m.Debt == 0
}

// serve runs the actor and the job's loop until the lease is over or ctx ends.
func (l *leaseRun) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if err := l.actor.Serve(ctx); err != nil && ctx.Err() == nil { // the store is dead, and with it this node
			l.d.log.Error("Lease is not served", "lease", l.id, "error", err)
		}
	})
	wg.Go(func() {
		if _, err := l.actor.Await(ctx, market.Lease.Terminal); err == nil {
			l.poke() // the loop removes its container
		}
	})
	l.d.net.KeepConnected(l.customer, nil)
	l.loop(ctx)
	l.d.leave(l)
	for {
		changed := l.actor.Watch()
		if l.over() && !l.d.holds(l) { // what is left unpaid may still be paid
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-changed:
		}
	}
	cancel()
	wg.Wait()
	if err := l.d.close(ctx, l); err != nil {
		l.d.log.Warn("Lease stays in memory", "lease", l.id, "error", err)
	}
}

// loop makes the job what the state wants, and feeds back what is seen.
func (l *leaseRun) loop(ctx context.Context) {
	lastReport := time.Time{}
	for {
		m := l.actor.Lease()
		if m.Terminal() && l.cleaned(ctx) {
			return
		}
		wait := m.ProbeEvery()
		if phase, grace := m.Want(); phase != 0 && m.State <= market.Releasing {
			obs, err := l.d.runner.Reconcile(ctx, l.key, l.want(phase, grace))
			if err != nil && ctx.Err() == nil {
				l.d.log.Warn("Engine did not follow", "lease", l.id, "error", err)
				obs.State = job.Unknown
			}
			l.prep.note(ctx, l, m, obs, err)
			l.watch.saw(ctx, l, m, obs)
			if !settled(phase, obs.State) {
				wait = settleEvery
				// the engine is at it, and the next call waits for it
				if obs.Progress.Phase != "" || obs.State == job.Gated {
					wait = joinEvery
				}
			}
		}
		if time.Since(lastReport) > reportEvery && !m.Terminal() {
			lastReport = time.Now()
			messages{l}.push()
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-l.kick:
		case <-t.C:
		}
		t.Stop()
	}
}

func (l *leaseRun) want(phase market.JobPhase, grace time.Duration) job.Want {
	return job.Want{Phase: job.Phase(phase), Grace: grace, InputsReady: l.inputs.ready.Load(), Plan: l.plan()}
}

// act performs a committed effect; each may be repeated.
func (l *leaseRun) act(ctx context.Context, m market.Lease, e market.Effect) error {
	defer func() {
		if l.over() {
			l.poke() // serve waits until the last effect is done
		}
	}()
	switch e := e.(type) {
	case market.WantJob:
		l.poke()
	case market.SendReceipt:
		l.mu.Lock()
		raw := l.tick.Receipt
		l.mu.Unlock()
		l.d.sessions.push(l.customer, streams.VoucherPush{Receipt: raw})
	case market.SendStatus:
		messages{l}.push()
	case market.FreeDevices:
		if err := l.d.books.end(ctx, l); err != nil {
			return err
		}
		return l.d.rig.Free(ctx, l.id, e.Quarantine)
	case market.SignOutcome:
		return outputs{l}.sign(ctx)
	case market.ClaimNow:
		l.d.claim()
	case market.SignRelease:
		return l.d.books.endAndRelease(ctx, l)
	case market.RemoveFiles:
		return l.d.runner.Remove(ctx, l.key)
	}
	return nil
}

// cleaned removes the container of a lease that is over.
func (l *leaseRun) cleaned(ctx context.Context) bool {
	if err := l.d.runner.Remove(ctx, l.key); err != nil && ctx.Err() == nil {
		l.d.log.Warn("Container was not removed", "lease", l.id, "error", err)
		return false
	}
	return true
}
