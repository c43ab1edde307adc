package customer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/joblog"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/job"
)

// The log of a job is copied from its provider until its end is here. Once the job has ended, logPatience without a
// byte ends the wait, and logMost ends it in any case: a customer that says nothing for longer closes its channel
// without the provider.
const (
	logAgain    = 100 * time.Millisecond
	logAgainMax = 10 * time.Second
	logPatience = time.Minute
	logMost     = 20 * time.Minute
	logBound    = 256 << 20 // bytes on disk, where the configuration says nothing
)

// ownLog is the order's own copy of its job's log.
type ownLog struct {
	r *orderRun

	mu      sync.Mutex
	log     *joblog.Log // nil until its first use
	copying *logCopy    // of the lease that is followed
}

// logCopy brings one lease's log home.
type logCopy struct {
	own   *ownLog
	lease *lease.Actor
	log   *joblog.Log
	from  uint64 // where this lease's part of it begins
	began time.Time
	done  chan struct{} // closed once nothing more will come

	mu    sync.Mutex
	moved time.Time // when the last bytes came
}

// open returns the log, opened at its first use.
func (w *ownLog) open() (*joblog.Log, error) {
	id, c := w.r.snapshot().ID, w.r.c
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.log == nil {
		bound := c.cfg.LogMax
		if bound <= 0 {
			bound = logBound
		}
		l, err := joblog.Open(c.Spool.logs(id), bound)
		if err != nil {
			return nil, err
		}
		w.log = l
	}
	return w.log, nil
}

// opened is the log if it is open, else nil.
func (w *ownLog) opened() *joblog.Log {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log
}

// follows is the copying of the lease that is followed; nil: there was none since the start.
func (w *ownLog) follows() *logCopy {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.copying
}

// moved is when the last bytes of a job came; zero: none since the start.
func (w *ownLog) moved() time.Time {
	t := w.follows()
	if t == nil {
		return time.Time{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moved
}

// follow starts the copying for the lease that is followed; it ends with ctx at the latest.
func (w *ownLog) follow(ctx context.Context, actor *lease.Actor, wg *sync.WaitGroup) {
	r := w.r
	t := &logCopy{own: w, lease: actor, from: r.snapshot().LogFrom, began: r.c.now(), done: make(chan struct{})}
	l, err := w.open()
	t.log = l
	w.mu.Lock()
	w.copying = t
	w.mu.Unlock()
	if err != nil {
		r.c.log.Error("The log of a job cannot be kept", "order", r.snapshot().ID, "error", err)
		close(t.done)
		return
	}
	wg.Go(func() {
		defer close(t.done)
		t.run(ctx)
		if err := l.Close(); err != nil {
			r.c.log.Warn("The log of a job was not written", "order", r.snapshot().ID, "error", err)
		}
	})
}

func (t *logCopy) run(ctx context.Context) {
	if !t.started(ctx) {
		return
	}
	for wait := logAgain; !t.log.State().Over; wait = min(2*wait, logAgainMax) {
		before := t.log.Next()
		end, err := t.once(ctx)
		switch {
		case err == nil && end.Over:
			t.finish(ctx, joblog.End{Total: t.from + end.Total, Whole: end.Whole,
				Why: map[bool]string{false: joblog.WhyRig}[end.Whole]})
			return
		case ctx.Err() != nil:
			return
		case t.ended() && (gone(err) || t.overdue()):
			t.finish(ctx, joblog.End{Total: t.log.Next(), Why: joblog.WhySilent})
			return
		}
		if t.log.Next() != before {
			wait = logAgain
		}
		t.own.r.c.log.Debug("Log of a job was cut", "order", t.own.r.snapshot().ID, "at", t.log.Next(), "error", err)
		if await.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// gone: the provider has nothing (more) of this job.
func gone(err error) bool {
	code := market.CodeOf(err)
	return code == market.CodeNotFound || code == market.CodeUnknownLease
}

// started waits until there can be a log; false: this lease never comes to one.
func (t *logCopy) started(ctx context.Context) bool {
	never := func(m market.Lease) bool { return m.State == market.Refused || m.State == market.Lapsed }
	m, err := t.lease.Await(ctx, func(m market.Lease) bool {
		return never(m) || !m.Ready.IsZero() || m.State == market.Closing || m.Terminal()
	})
	return err == nil && !never(m)
}

func (t *logCopy) ended() bool {
	m := t.lease.Lease()
	return m.State == market.Closing || m.Terminal()
}

// due is when nobody waits for the log any longer; zero: the job has not ended.
func (t *logCopy) due() time.Time {
	m := t.lease.Lease()
	switch {
	case m.Terminal():
		return time.Unix(0, 0)
	case m.State != market.Closing:
		return time.Time{}
	}
	since := latest(m.Ended, t.began)
	t.mu.Lock()
	moved := latest(since, t.moved)
	t.mu.Unlock()
	idle := moved.Add(min(logPatience, m.Terms.SilentEnd/3))
	if most := since.Add(min(logMost, m.Terms.SilentEnd*2/3)); most.Before(idle) {
		return most
	}
	return idle
}

func (t *logCopy) overdue() bool {
	at := t.due()
	return !at.IsZero() && t.own.r.c.now().After(at)
}

// untilOverdue returns once nobody waits for the log any longer, or with ctx.
func (t *logCopy) untilOverdue(ctx context.Context) {
	for !t.overdue() {
		changed := t.lease.Watch()
		var timer <-chan time.Time
		if at := t.due(); !at.IsZero() {
			timer = time.After(at.Sub(t.own.r.c.now()) + time.Millisecond)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer:
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// once reads from the provider until its stream ends, or is overdue.
func (t *logCopy) once(ctx context.Context) (end tunnel.LogEnd, err error) {
	o := t.own.r.snapshot()
	if o.Lease == nil {
		return end, errors.New("the lease was refused")
	}
	args, err := json.Marshal(tunnel.LogsArgs{Follow: true, Places: true, From: t.log.Next() - t.from})
	if err != nil {
		return end, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		t.untilOverdue(ctx)
		cancel()
	})
	fc, err := t.own.r.c.net.Tunnel(ctx, o.Provider,
		streams.TunnelOpen{Lease: o.Lease.ID, Kind: streams.TunnelLogs, Args: args})
	if err != nil {
		return end, err
	}
	defer fc.Close()
	stop := context.AfterFunc(ctx, fc.Abort)
	defer stop()
	return t.take(fc)
}

// take stores what a stream brings. A provider of an older version sends all from the beginning, without places.
func (t *logCopy) take(fc *streams.FrameConn) (end tunnel.LogEnd, err error) {
	placed, next := false, uint64(0)
	for {
		ch, b, err := fc.Read()
		if err != nil {
			return end, err
		}
		if ch == streams.ChanControl {
			m, err := tunnel.DecodeControl(b)
			switch {
			case err != nil:
				return end, err
			case m.Places:
				placed = true
				continue
			case m.End && m.Log != nil:
				return *m.Log, nil
			case m.End:
				// whether it is whole, such a provider does not know
				return tunnel.LogEnd{Total: next, Over: t.ended()}, nil
			}
			if err = m.Err(); err == nil {
				err = errors.New("unknown word in a log")
			}
			return end, err
		}
		rec, err := decodeLog(placed, next, b)
		if err != nil {
			return end, err
		}
		next = rec.Next()
		rec.Offset += t.from
		if err := t.log.Append(rec); err != nil {
			return end, fmt.Errorf("keep log: %w", err)
		}
		t.mu.Lock()
		t.moved = t.own.r.c.now()
		t.mu.Unlock()
	}
}

func decodeLog(placed bool, next uint64, b []byte) (job.LogRecord, error) {
	if placed {
		return tunnel.DecodeRecord(b)
	}
	at, stream, data, err := tunnel.DecodeLog(b)
	return job.LogRecord{Offset: next, Time: at, Stream: stream, Data: data}, err
}

// finish puts the end on disk and into the order's row, and tells people what is missing. A disk that fails is told as
// a log that is not whole.
func (t *logCopy) finish(ctx context.Context, e joblog.End) {
	if o := t.own.r.snapshot(); t.lease.Lease().Fault == market.FaultProvider && o.again() {
		return // the next attempt's words follow in the same log
	}
	if err := t.log.Finish(e); err != nil {
		t.own.r.c.log.Error("The log of a job was not kept", "order", t.own.r.snapshot().ID, "error", err)
	}
	t.own.note(ctx)
}

// again reports that another attempt may follow if the provider is lost.
func (o *orderRow) again() bool { return len(o.Lost) < o.Terms.Retry && !o.Stopping() }

// next is where the next attempt's part of the log begins.
func (w *ownLog) next() uint64 {
	if l := w.opened(); l != nil {
		return l.Next()
	}
	return 0
}

// note stores how the log ended.
func (w *ownLog) note(ctx context.Context) {
	r := w.r
	l, err := w.open()
	if err != nil {
		return
	}
	s := l.State()
	_ = r.update(ctx, func(o *orderRow) { // a store that fails ends the node
		if o.Log == nil && !s.Complete() && (s.Total > 0 || !o.ReadyAt.IsZero()) {
			o.Steps = append(o.Steps, Step{At: r.c.now(), Phase: "logs", Detail: lacks(s)})
		}
		o.Log = &s
	})
}

// lacks says what a log misses.
func lacks(s joblog.State) string {
	end := map[string]string{joblog.WhyRig: "its end was lost on the rig",
		joblog.WhySilent: "the provider did not hand over its end",
		joblog.WhyDisk:   "the disk of this node did not take the rest"}[s.Why]
	switch {
	case s.Complete():
		return ""
	case end != "" && s.Missing > 0:
		return fmt.Sprintf("%d of %d bytes are missing, and %s", s.Missing, s.Total, end)
	case end != "":
		return end
	}
	return fmt.Sprintf("%d of %d bytes are missing", s.Missing, s.Total)
}

// outcome is what the Outcome says of the log.
func (w *ownLog) outcome() (bytes, missing uint64, end market.LogEnd) {
	o := w.r.snapshot()
	switch {
	case o.Log == nil || o.Log.Total == 0 && o.ReadyAt.IsZero():
		return 0, 0, market.LogUnsaid
	case o.Log.Whole:
		return o.Log.Total, o.Log.Missing, market.LogWhole
	}
	return o.Log.Total, o.Log.Missing, market.LogCut
}

// await holds the agreement back until the log is here: the provider removes the container after it.
func (w *ownLog) await(ctx context.Context) error {
	t := w.follows()
	if t == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.done:
		return nil
	}
}

// close ends the log of an order that is over, if nothing else has.
func (w *ownLog) close(ctx context.Context) {
	l, row := w.opened(), w.r.snapshot()
	if l == nil || !row.Ended() || l.State().Over {
		return
	}
	e := joblog.End{Total: l.Next(), Why: joblog.WhySilent}
	if e.Total == 0 && row.ReadyAt.IsZero() {
		e = joblog.End{Whole: true, Why: joblog.WhyNone} // it never ran
	}
	if err := errors.Join(l.Finish(e), l.Close()); err != nil {
		w.r.c.log.Error("The log of a job was not kept", "order", row.ID, "error", err)
	}
	w.note(ctx)
}

// LogQuery is what to read of a log: from an offset on, beginning with the first record that is not before Since.
type LogQuery struct {
	From   uint64
	Since  time.Time
	Follow bool
}

// Logs gives a job's output out of this node's own store; with Follow from its start until its end is here. It needs
// neither the provider nor a job that runs. Errors: not-found for an order that never ran, or whose log was removed;
// f's.
func (c *Customer) Logs(ctx context.Context, ref string, q LogQuery, f func(job.LogRecord) error) (joblog.State,
	error) {
	r, err := c.find(ref)
	if err != nil {
		return joblog.State{}, err
	}
	l, err := r.log.some(ctx, q.Follow)
	if err != nil {
		return joblog.State{}, err
	}
	s, err := l.Read(ctx, q.From, q.Since, q.Follow, f)
	if err == nil && s.Over && s.Total == 0 && r.snapshot().ReadyAt.IsZero() {
		return s, r.log.none("the job never ran")
	}
	return s, err
}

// some waits until the order has a log, and opens it. Errors: not-found if it never will; without wait, if it has none
// yet.
func (w *ownLog) some(ctx context.Context, wait bool) (*joblog.Log, error) {
	for {
		changed := w.r.bell.Next()
		l, row := w.opened(), w.r.snapshot()
		over := row.Ended()
		switch {
		case l != nil:
			return l, nil
		case row.Log != nil:
			l, err := w.open()
			if err == nil && over && !l.State().Over {
				err = w.none("it was removed from this node's spool")
			}
			return l, err
		case over && row.Lease == nil:
			return nil, w.none("the order " + row.Standing() + " before any job started")
		case over:
			return nil, w.none("this node kept none")
		case !wait:
			return nil, w.none("no job runs yet: the order is " + row.Standing())
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

func (w *ownLog) none(why string) error {
	return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "read logs",
		Detail: "there is no log: " + why, Hint: "gpuai show " + w.r.snapshot().ID.String()}
}
