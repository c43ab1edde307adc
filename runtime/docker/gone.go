package docker

import (
	"context"
	"slices"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
)

const (
	killEvery  = 10 * time.Second
	stuckAfter = 60 * time.Second
)

// teardown is an attempt at one moment on its way to no process.
type teardown struct {
	*attempt
	now time.Time
}

// ending is one way from what there is to no process. The first of the table that fits is done.
type ending struct {
	name string
	fits func(teardown) bool
	do   func(teardown, context.Context) (job.Observed, error)
}

// endings let no process live. A container that never started goes away; another stays for its files.
var endings = []ending{
	{"clear", teardown.unstarted, teardown.clear},
	{"settle", teardown.ended, teardown.settle},
	{"ask", teardown.mayAsk, teardown.ask},
	{"kill", teardown.mayKill, teardown.killNow},
	{"wait", func(teardown) bool { return true }, teardown.wait},
}

func (t teardown) ending() ending {
	return endings[slices.IndexFunc(endings, func(e ending) bool { return e.fits(t) })]
}

// gone does what leads to no process.
func (a *attempt) gone(ctx context.Context) (job.Observed, error) {
	t := teardown{a, time.Now()}
	if t.unstarted() || t.ended() {
		a.disk.drop(a.key)
		return t.ending().do(t, ctx)
	}
	a.disk.hold(a.key, a.want.Plan.Disk)
	if t.grace() { // it is no time to fill the disk
		if code, detail := a.disk.over(a.key, a.want.Plan.Disk); code != "" {
			a.row.EndCode, a.row.Detail = code, detail
		}
	}
	return t.ending().do(t, ctx)
}

func (t teardown) unstarted() bool { return t.c == nil || t.c.State.Status == "created" }

func (t teardown) ended() bool { return !t.c.State.Running && !t.c.State.Paused }

// grace: what must end for a cause of ours has none.
func (t teardown) grace() bool { return t.want.Grace > 0 && t.row.EndCode == "" }

func (t teardown) mayAsk() bool { return t.grace() && !t.row.Stop }

func (t teardown) mayKill() bool { return !t.grace() && t.now.Sub(t.row.LastKill) >= killEvery }

func (t teardown) clear(ctx context.Context) (job.Observed, error) {
	if err := t.removeAll(ctx, t.key); err != nil {
		return t.see(), err
	}
	if t.row.Start && t.c == nil {
		return t.see(), nil
	}
	return job.Observed{State: job.Absent, Code: t.row.Code, Detail: t.row.Detail}, nil
}

func (t teardown) settle(ctx context.Context) (job.Observed, error) {
	if err := t.guards.stop(ctx, t.key); err != nil {
		return t.see(), engineError("stop guard", err)
	}
	return t.seen(ctx)
}

func (t teardown) wait(ctx context.Context) (job.Observed, error) { return t.seen(ctx) }

// ask sends the stop signal, once.
func (t teardown) ask(ctx context.Context) (job.Observed, error) {
	t.row.Stop = true
	if err := t.save(ctx); err != nil {
		return t.see(), err
	}
	if err := t.kill(ctx, t.c.ID, stopSignal(t.want.Plan)); err != nil {
		return t.see(), engineError("stop job", err)
	}
	return t.look(ctx)
}

func stopSignal(p job.Plan) string {
	if p.Spec.StopSignal == "" {
		return "TERM"
	}
	return p.Spec.StopSignal
}

func (t teardown) killNow(ctx context.Context) (job.Observed, error) {
	if t.row.LastKill = t.now; t.row.FirstKill.IsZero() {
		t.row.FirstKill = t.now
	}
	if err := t.save(ctx); err != nil {
		return t.see(), err
	}
	if err := t.end(ctx, t.c); err != nil {
		return t.see(), engineError("kill job", err)
	}
	o, err := t.look(ctx)
	if err == nil && o.State == job.Exited {
		err = t.guards.stop(ctx, t.key)
	}
	return o, err
}
