package customer

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
)

// followLease runs the lease's machine until no money waits for its provider any more, tells the purchase how it ended,
// and stays with a lease that lingers until its last words.
func (r *orderRun) followLease(ctx context.Context, e market.FollowLease) {
	select {
	case r.turn <- struct{}{}: // an earlier one has come to its end
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return
	}
	o := r.snapshot()
	if o.Lease == nil || o.Lease.ID != e.Lease {
		return // the order has gone on without it
	}
	actor, err := lease.New(lease.Config{
		Lease: *o.Lease, Clock: r.c.clock.Read, SameBoot: o.BootID == r.c.clock.BootID(), Offline: r.c.offline,
	}, r, r.act, r.c.log)
	if err != nil {
		r.happens(ctx, market.OrderFailed{Why: reasonOf(err)}, nil)
		return
	}
	r.mu.Lock()
	r.actor = actor
	r.mu.Unlock()
	r.bell.Ring()
	r.c.net.KeepConnected(o.Provider, o.Reach)
	s := r.c.sessionWith(ctx, o.Provider)
	defer func() {
		if s.leave() { // other leases need the connection
			r.c.net.Forget(o.Provider)
		}
	}()
	var wg sync.WaitGroup
	actx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); wg.Wait() }()
	r.log.follow(actx, actor, &wg)
	wg.Go(func() { _ = actor.Serve(actx) }) // it ends with ctx, or the node with it
	if o.Stage == market.StageLeased {
		m, err := actor.Await(ctx, market.Lease.MoneyOver)
		if err != nil {
			return
		}
		r.leaseOver(ctx, m)
	}
	if !r.snapshot().Lingers {
		return
	}
	m, err := actor.Await(ctx, market.Lease.Terminal)
	if err != nil {
		return
	}
	r.c.endShare(ctx, o.Channel, m)
	r.c.finishEarly(ctx, o.Channel)
	r.happens(ctx, market.LeaseGone(e), nil)
}

// leaseOver tells the purchase how its lease ended. Documents of one that is followed by another attempt go with it.
func (r *orderRun) leaseOver(ctx context.Context, m market.Lease) {
	o := r.snapshot()
	r.c.endShare(ctx, o.Channel, m)
	ev := market.LeaseOver{
		Lease: m.ID, State: m.State, Code: m.Code, Detail: m.Detail, Fault: m.Fault, Signed: m.Signed,
		Owed: acknowledged(m), Keep: m.KeepChannel, Hint: "gpuai show " + o.ID.String(),
	}
	if h := advice(m.Code, o.Provider); h != "" && m.State == market.Refused {
		ev.Hint = h
	}
	ev.Passes, ev.Unfit = r.place.verdictOn(ctx, m)
	if ctx.Err() != nil {
		return // told at the next start
	}
	r.c.Book.mark(ctx, o.Provider, m)
	lost := false
	r.happens(ctx, ev, func(o *orderRow) {
		if o.Stage != market.StageQuoting {
			return
		}
		lost = m.State != market.Refused && m.State != market.Lapsed
		o.Lease, o.Raw, o.Decision = nil, nil, nil
		// whatever came with it is not of the next lease
		o.Receipt, o.Outcome, o.OwnOutcome = nil, nil, nil
		if lost {
			o.InputsSent, o.ReadyAt, o.Log, o.Files.Failure, o.Files.FailureDetail = false, time.Time{}, nil, "", ""
			o.Files.Missing, o.Files.Outputs, o.Files.Fetched, o.LogFrom = nil, LeftOut{}, time.Time{}, r.log.next()
		}
	})
	if lost {
		_ = os.Remove(r.c.Spool.Outputs(o.ID)) // of the lost attempt; the next one's replace them in any case
	}
}

// lastUsed is when the job was last heard or used by its owner; now, while it does not run or is not seen.
func (r *orderRun) lastUsed() time.Time {
	r.mu.Lock()
	a, own := r.actor, r.used
	r.mu.Unlock()
	if a == nil || a.Lease().State != market.Running || own.running > 0 {
		return r.c.now()
	}
	return latest(latest(own.last, a.Lease().Ready), r.log.moved())
}

// use is what the owner runs beside its job: how many commands now, and when one last began or ended.
type use struct {
	running int
	last    time.Time
}

// uses counts a command that the owner runs beside the job, from its begin to its end.
func (r *orderRun) uses() (end func()) {
	count := func(n int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.used.running += n
		r.used.last = r.c.now()
	}
	count(1)
	return func() { count(-1) }
}

// actorOf is the machine of a lease, once it runs.
func (r *orderRun) actorOf(id market.LeaseID) *lease.Actor {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.actor == nil || r.actor.Lease().ID != id {
		return nil
	}
	return r.actor
}
