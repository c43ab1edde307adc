package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// followPoll is how often an order is looked at; secondStop is how soon the second Ctrl-C must follow to stop the job.
const (
	followPoll      = 200 * time.Millisecond
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
	reads      bool
	stopping   bool // by Ctrl-C
}

// follow prints progress and logs, ends with the job's code, and brings the outputs home. After Ready the first Ctrl-C lets the job go on
// alone, the second stops it; before, Ctrl-C stops it. order is kept up to date.
func (a *App) follow(ctx context.Context, c *api.Client, order *api.Order, f spec.File, interrupts <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fl := &follower{a: a, c: c, order: order, interrupts: interrupts, line: progress{a: a}, ledger: ledgerWatch{a: a, c: c}}
	defer fl.logs.Wait()
	defer cancel()
	if err := fl.wait(ctx); err != nil {
		return attachedUnless(err)
	}
	fl.logs.Wait()
	if fl.logErr != nil {
		a.say("logs are cut: %v (all of them: gpuai logs %s)", fl.logErr, word(*order))
	}
	a.bill(*order)
	if fl.stopping && order.ExitCode == nil {
		return exitCode(exitInterrupted)
	}
	if order.OutputsReady {
		if err := fl.outputs(ctx, f.Outputs); err != nil {
			return attachedUnless(err)
		}
	}
	return jobExit(*order)
}

// outputs brings the outputs home; Ctrl-C leaves them in the node's spool.
func (fl *follower) outputs(ctx context.Context, list []spec.Output) error {
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
	err := fl.a.fetch(ctx, fl.c, fl.order.ID, list)
	close(done)
	wg.Wait()
	if err != nil && ctx.Err() != nil {
		fl.a.say("the outputs stay with the node: gpuai outputs %s DIR", word(*fl.order))
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

// wait polls until the order is over and its channel settled, and handles Ctrl-C.
func (fl *follower) wait(ctx context.Context) error {
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	var detach <-chan time.Time
	for {
		o, err := fl.c.Order(ctx, fl.order.ID)
		if err != nil {
			return err
		}
		*fl.order = o
		fl.show(ctx, o)
		if settled(o) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-detach:
			return exitCode(0)
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
	default:
		fl.line.show(api.Progress{Phase: state(o)})
	}
	if o.ReadyAt != nil && !fl.reads {
		fl.reads = true
		fl.a.say("%-9s the meter runs", "ready")
		fl.logs.Go(func() {
			fl.logErr = fl.c.Logs(ctx, o.ID, time.Time{}, true, func(stream uint8, _ time.Time, b []byte) error { return fl.a.output(stream, b) })
		})
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
		if *o.ExitCode == 0 {
			return nil
		}
		return exitCode(*o.ExitCode)
	}
	if o.Standing == "failed" || o.Code != "" {
		return attached{&market.Error{Code: or(o.Code, "internal"), Kind: market.KindConflict, Op: "run job", Detail: o.Detail, Hint: or(o.Hint, "gpuai show "+word(o))}}
	}
	return nil
}
