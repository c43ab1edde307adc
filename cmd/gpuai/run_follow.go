package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// secondStop is how soon the second Ctrl-C must follow to stop the job.
const (
	secondStop      = 3 * time.Second
	exitInterrupted = 130
)

// follower shows one order until it is over.
type follower struct {
	a          *App
	c          *api.Client
	order      *api.Order // as last seen
	interrupts <-chan os.Signal
	steps      int
	line       progress
	ledger     ledgerWatch
	logs       sync.WaitGroup
	logErr     error
	log        api.LogState  // valid after logs
	unread     chan struct{} // closed once nobody reads our output any more
	reads      bool
	ready      bool
	stopping   bool      // by Ctrl-C
	warned     api.Money // cap whose end was told
}

// follow prints progress and logs, ends with the job's code, and brings the outputs home. After Ready the first Ctrl-C
// lets the job go on alone, the second stops it; before, Ctrl-C stops it. order is kept up to date.
func (a *App) follow(ctx context.Context, c *api.Client, order *api.Order, f spec.File, allow bool,
	interrupts <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fl := &follower{
		a: a, c: c, order: order, interrupts: interrupts, line: progress{a: a}, ledger: ledgerWatch{a: a, c: c},
		unread: make(chan struct{}),
	}
	defer fl.logs.Wait()
	defer cancel()
	signal.Ignore(syscall.SIGPIPE) // a write says it too
	defer signal.Reset(syscall.SIGPIPE)
	if err := fl.wait(ctx); err != nil {
		return attachedUnless(err)
	}
	if err := fl.logEnd(ctx); err != nil {
		return attachedUnless(err)
	}
	a.bill(*order)
	if fl.stopping && order.ExitCode == nil {
		return exitCode(exitInterrupted)
	}
	var err error
	if order.OutputsReady {
		if len(order.Outputs) == 0 { // a node of an older version does not keep the places
			for _, o := range f.Outputs {
				order.Outputs = append(order.Outputs, api.Output{Path: o.Path, To: o.To})
			}
		}
		err = fl.outputs(ctx)
	}
	var own exitCode
	if errors.As(err, &own) {
		return err // Ctrl-C
	}
	err = both(err, both(a.leftOut(*order, allow), fl.unwritten()))
	if job := jobExit(*order); job != nil { // the job's own end comes first
		if err != nil {
			a.say("outputs   %s", told(err))
		}
		return job
	}
	if err != nil {
		return attached{err}
	}
	return nil
}

// unwritten is the failure of our own standard output, as of a full disk: what the job said is not where it was sent. A
// reader that has closed it is no failure.
func (fl *follower) unwritten() error {
	var path *fs.PathError
	if closed(fl.logErr) || !errors.As(fl.logErr, &path) {
		return nil
	}
	return spec.Full(fl.logErr, "gpuai logs "+word(*fl.order)+", to another place")
}

// logEnd waits until the whole log was shown, and says what of it is missing. Ctrl-C ends the wait.
func (fl *follower) logEnd(ctx context.Context) error {
	if !fl.reads && fl.order.Logs != nil {
		fl.readLogs(ctx)
	}
	shown := make(chan struct{})
	var wg sync.WaitGroup // ends with the reading, which ends with ctx
	wg.Go(func() { fl.logs.Wait(); close(shown) })
	select {
	case <-shown:
	case <-fl.interrupts:
		fl.a.say("the rest of the log: gpuai logs %s", word(*fl.order))
		return exitCode(exitInterrupted)
	}
	if o, err := fl.c.Order(ctx, fl.order.ID); err == nil {
		*fl.order = o // with the log's end
	}
	switch words := lacks(fl.log); {
	case fl.logErr != nil && !closed(fl.logErr) && fl.order.Logs != nil:
		fl.a.say("%-9s are cut here: %v; all of them: gpuai logs %s", "logs", fl.logErr, word(*fl.order))
	case words != "":
		fl.a.say("%-9s %s", "logs", words)
	}
	return nil
}

// readLogs shows the job's output, in the background, until its end is here.
func (fl *follower) readLogs(ctx context.Context) {
	fl.reads = true
	id := fl.order.ID
	fl.logs.Go(func() {
		fl.log, fl.logErr = readLog(ctx, fl.c, id, api.LogQuery{Follow: true}, func(p api.LogPiece) error {
			if p.Gap > 0 {
				return fl.a.output(sourceNode, []byte(gapWords(p)+"\n"))
			}
			return fl.a.output(p.Stream, p.Data)
		})
		if closed(fl.logErr) {
			close(fl.unread)
		}
	})
}

// outputs brings the outputs home; Ctrl-C leaves them in the node's spool.
func (fl *follower) outputs(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-fl.interrupts:
			cancel()
		case <-done:
		}
	})
	err := fl.a.fetch(ctx, fl.c, fl.order, false)
	close(done)
	wg.Wait()
	if err != nil && ctx.Err() != nil {
		fl.a.say("the outputs stay with the node: gpuai outputs %s", word(*fl.order))
		return exitCode(exitInterrupted)
	}
	return err
}

// attachedUnless marks our own failures with 125, but not the ends that a user chose.
func attachedUnless(err error) error {
	var code exitCode
	if errors.As(err, &code) {
		return err
	}
	return attached{err}
}

// wait follows the order's events until it is over and its channel settled, and handles Ctrl-C.
func (fl *follower) wait(ctx context.Context) error {
	beats, stop := pulse(ctx, fl.c)
	defer stop()
	var detach <-chan time.Time
	var out outage
	for {
		o, err := fl.c.Order(ctx, fl.order.ID)
		if away(err) || err != nil && !out.since.IsZero() && market.CodeOf(err) == market.CodeNotFound {
			if out.since.IsZero() {
				fl.line.reset()
				fl.a.say("%-9s the node does not answer; the job goes on without it, as long as it is paid", "waiting")
			}
			if out.wait(ctx) {
				continue
			}
		}
		if err != nil {
			return err
		}
		out = outage{}
		*fl.order = o
		fl.show(ctx, o)
		if settled(o) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beats:
		case <-detach:
			return exitCode(0)
		case <-fl.unread:
			if o.Ended() {
				fl.unread = nil
				continue
			}
			fl.a.say("nobody reads the output any more; detached, %s goes on", o.Rate)
			fl.a.say("stop: gpuai stop %s · follow: gpuai logs -f %s", word(o), word(o))
			return exitCode(exitPipe)
		case <-fl.interrupts:
			switch {
			case fl.stopping:
				fl.a.say("it goes on stopping in the node: gpuai show %s", word(o))
				return exitCode(exitInterrupted)
			case detach == nil && o.ReadyAt != nil && !o.Ended():
				fl.a.say("detached, %s goes on; at risk while this computer sleeps: %s", o.Rate, asleepOf(o))
				fl.a.say("stop: Ctrl-C again, or gpuai stop %s · follow: gpuai logs -f %s", word(o), word(o))
				detach = time.After(secondStop)
			default:
				fl.stopping, detach = true, nil
				fl.a.say("stopping %s", called(o))
				if err := fl.c.StopOrder(ctx, o.ID, false); err != nil {
					return err
				}
			}
		}
	}
}

// show prints what is new: steps, what is waited for, and the job's output from Ready on.
func (fl *follower) show(ctx context.Context, o api.Order) {
	for _, s := range o.Steps[min(fl.steps, len(o.Steps)):] {
		if s.Phase == "refund" { // it is shown while it lasts, and the bill says what came back
			continue
		}
		fl.line.reset()
		if s.Detail != "" { // the others show while they last
			fl.a.say("%-9s %s", clean(s.Phase), clean(s.Detail))
		}
	}
	fl.steps = len(o.Steps)
	switch {
	case jobOver(o) && !settled(o):
		fl.ledger.look(ctx, o)
		fl.line.show(api.Progress{Phase: "refund"})
	case o.Ended() || o.ReadyAt != nil:
	case o.Progress.Phase != "":
		fl.line.show(o.Progress)
	case o.WaitsUntil != nil:
		fl.line.show(api.Progress{Phase: "waits for a rig until " + waitsUntil(o)})
	default:
		fl.line.show(api.Progress{Phase: state(o)})
	}
	fl.warnCap(o)
	if o.ReadyAt != nil && !fl.ready {
		fl.ready = true
		fl.a.say("%-9s the meter runs", "ready")
	}
	if o.ReadyAt != nil && !fl.reads {
		fl.readLogs(ctx)
	}
}

func writeStatus(path string, doc any) error {
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write status file: %w", err)
	}
	return nil
}

// jobExit is the job's own code, or our error if the job never came to one.
func jobExit(o api.Order) error {
	if o.ExitCode != nil && o.Standing == "ended" {
		if err := endedBy(o); err != nil {
			return err
		}
		if *o.ExitCode == 0 {
			return nil
		}
		return exitCode(*o.ExitCode)
	}
	if o.Standing == "failed" || o.Code != "" {
		return attached{&market.Error{Code: cmp.Or(o.Code, market.CodeInternal), Kind: market.KindConflict,
			Op:     "run job",
			Detail: o.Detail, Hint: or(o.Hint, "gpuai show "+word(o))}}
	}
	return nil
}
