package customer

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
)

// hire is the order's side of the lease that it has now, and of those of before as long as their words still come.
type hire struct {
	r    *orderRun
	turn chan struct{} // full while a lease is followed

	mu          sync.Mutex // may be taken under the row's, not the other way round
	actor       *lease.Actor
	phase       string // progress of the preparation
	done, total uint64
	receiptSeq  uint64 // of the newest Receipt of this lease since the start
	used        use
	stopped     market.LeaseID // the newest one whose Stop was answered
}

// follow runs the lease's machine until no money waits for its provider any more, tells the purchase how it ended,
// and stays with a lease that lingers until its last words.
func (h *hire) follow(ctx context.Context, e market.FollowLease) {
	select {
	case h.turn <- struct{}{}: // an earlier one has come to its end
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return
	}
	o := h.r.snapshot()
	if o.Lease == nil || o.Lease.ID != e.Lease {
		return // the order has gone on without it
	}
	actor, err := lease.New(lease.Config{
		Lease: *o.Lease, Clock: h.r.c.clock.Read, SameBoot: o.BootID == h.r.c.clock.BootID(), Offline: h.r.c.offline,
	}, h, h.act, h.r.c.log)
	if err != nil {
		h.r.happens(ctx, market.OrderFailed{Why: reasonOf(err)}, nil)
		return
	}
	h.mu.Lock()
	h.actor, h.receiptSeq = actor, 0
	h.mu.Unlock()
	h.r.bell.Ring()
	h.r.c.net.KeepConnected(o.Provider, o.Reach)
	s := h.r.c.sessions.join(ctx, o.Provider)
	defer func() {
		if s.leave() { // other leases need the connection
			h.r.c.net.Forget(o.Provider)
		}
	}()
	var wg sync.WaitGroup
	actx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); wg.Wait() }()
	h.r.log.follow(actx, actor, &wg)
	wg.Go(func() { _ = actor.Serve(actx) }) // it ends with ctx, or the node with it
	if o.Stage == market.StageLeased {
		m, err := actor.Await(ctx, market.Lease.MoneyOver)
		if err != nil {
			return
		}
		h.over(ctx, m)
	}
	if !h.r.snapshot().Lingers {
		return
	}
	m, err := actor.Await(ctx, market.Lease.Terminal)
	if err != nil {
		return
	}
	h.r.c.endShare(ctx, o.Channel, m)
	h.r.c.Hasten(o.Channel)
	h.r.happens(ctx, market.LeaseGone(e), nil)
}

// over tells the purchase how its lease ended. Documents of one that is followed by another attempt go with it.
func (h *hire) over(ctx context.Context, m market.Lease) {
	o := h.r.snapshot()
	h.r.c.endShare(ctx, o.Channel, m)
	ev := market.LeaseOver{
		Lease: m.ID, State: m.State, Code: m.Code, Detail: m.Detail, Fault: m.Fault, Signed: m.Signed,
		Owed: acknowledged(m), Keep: m.KeepChannel, Hint: "gpuai show " + o.ID.String(),
	}
	if h := advice(m.Code, o.Provider); h != "" && m.State == market.Refused {
		ev.Hint = h
	}
	ev.Passes, ev.Unfit = h.r.place.verdictOn(ctx, m)
	if ctx.Err() != nil {
		return // told at the next start
	}
	h.r.c.Book.mark(ctx, o.Provider, m)
	lost := false
	h.r.happens(ctx, ev, func(o *orderRow) {
		if o.Stage != market.StageQuoting {
			return
		}
		lost = m.State != market.Refused && m.State != market.Lapsed
		o.Lease, o.papers = nil, papers{}
		if lost {
			o.InputsSent, o.ReadyAt, o.Log, o.Files.Failure, o.Files.FailureDetail = false, time.Time{}, nil, "", ""
			o.Files.Stay, o.Files.StayWhy = nil, ""
			o.Files.Missing, o.Files.Outputs, o.Files.Fetched, o.LogFrom = nil, LeftOut{}, time.Time{}, h.r.log.next()
		}
	})
	if lost {
		_ = os.Remove(h.r.c.Spool.Outputs(o.ID)) // of the lost attempt; the next one's replace them in any case
	}
}

// lastUsed is when the job was last heard or used by its owner; now, while it does not run or is not seen.
func (h *hire) lastUsed() time.Time {
	h.mu.Lock()
	a, own := h.actor, h.used
	h.mu.Unlock()
	if a == nil || a.Lease().State != market.Running || own.running > 0 {
		return h.r.c.now()
	}
	return latest(latest(own.last, a.Lease().Ready), h.r.log.moved())
}

// use is what the owner runs beside its job: how many commands now, and when one last began or ended.
type use struct {
	running int
	last    time.Time
}

// uses counts a command that the owner runs beside the job, from its begin to its end.
func (h *hire) uses() (end func()) {
	count := func(n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.used.running += n
		h.used.last = h.r.c.now()
	}
	count(1)
	return func() { count(-1) }
}

// at is the machine of the lease that was followed last; nil: none since the start.
func (h *hire) at() *lease.Actor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.actor
}

// newest reports whether no Receipt of a later number has come since the start.
func (h *hire) newest(seq uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq < h.receiptSeq {
		return false
	}
	h.receiptSeq = seq
	return true
}

// preparation is how far the provider's preparation of the job is, by its last word.
func (h *hire) preparation() (phase string, done, total uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.phase, h.done, h.total
}
