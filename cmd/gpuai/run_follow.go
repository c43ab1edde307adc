package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// followPoll is how often an order is looked at; secondStop is how soon the second Ctrl-C must follow to stop the job.
const (
	followPoll  = 200 * time.Millisecond
	secondStop  = 3 * time.Second
	exitStopped = 130
)

// follower shows one order until it is over.
type follower struct {
	a      *App
	c      *api.Client
	id     string
	steps  int
	phase  string
	shown  time.Time
	logs   sync.WaitGroup
	logErr error
	reads  bool
}

// follow prints progress and logs, ends with the job's code, and brings the outputs home. After Ready the first Ctrl-C lets the job go on
// alone, the second stops it; before, Ctrl-C stops it.
func (a *App) follow(ctx context.Context, c *api.Client, id string, o runOptions, f spec.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fl := &follower{a: a, c: c, id: id}
	defer fl.logs.Wait()
	defer cancel()
	order, err := fl.wait(ctx)
	if err != nil {
		return attachedUnless(err)
	}
	fl.logs.Wait()
	if fl.logErr != nil {
		a.say("logs are cut: %v (all of them: gpuai logs %s)", fl.logErr, id)
	}
	if o.statusFile != "" {
		if err := writeStatus(o.statusFile, order); err != nil {
			return attached{err}
		}
	}
	if order.OutputsReady {
		if err := a.fetch(ctx, c, id, f.Outputs); err != nil {
			return attached{err}
		}
	}
	a.bill(order)
	return jobExit(order)
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
func (fl *follower) wait(ctx context.Context) (api.Order, error) {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	var order api.Order
	var detach <-chan time.Time
	stopping := false
	for {
		o, err := fl.c.Order(ctx, fl.id)
		if err != nil {
			return order, err
		}
		order = o
		fl.show(ctx, o)
		if settled(o) {
			return o, nil
		}
		select {
		case <-ctx.Done():
			return order, ctx.Err()
		case <-tick.C:
		case <-detach:
			return order, exitCode(0)
		case <-interrupts:
			switch {
			case stopping:
				fl.a.say("it goes on stopping in the node: gpuai show %s", fl.id)
				return order, exitCode(exitStopped)
			case detach == nil && o.ReadyAt != nil && !o.Ended():
				fl.a.say("detached, %s goes on; at risk while this computer sleeps: %s", o.Rate, o.AtRisk)
				fl.a.say("stop: Ctrl-C again, or gpuai stop %s · follow: gpuai logs -f %s", fl.id, fl.id)
				detach = time.After(secondStop)
			default:
				stopping, detach = true, nil
				fl.a.say("stopping %s", fl.id)
				if err := fl.c.StopOrder(ctx, fl.id, false); err != nil {
					return order, err
				}
			}
		}
	}
}

// show prints what is new: steps, the progress of a long phase, and the job's output from Ready on.
func (fl *follower) show(ctx context.Context, o api.Order) {
	for _, s := range o.Steps[min(fl.steps, len(o.Steps)):] {
		fl.a.say("%-6s %s", clean(s.Phase), clean(s.Detail))
	}
	fl.steps = len(o.Steps)
	if p := o.Progress; p.Phase != "" && !o.Ended() && (p.Phase != fl.phase || time.Since(fl.shown) > 10*time.Second) {
		fl.phase, fl.shown = p.Phase, time.Now()
		if p.Total > 0 {
			fl.a.say("%-6s %d of %d MB", p.Phase, p.Done/1e6, p.Total/1e6)
		} else {
			fl.a.say("%-6s …", p.Phase)
		}
	}
	if o.ReadyAt != nil && !fl.reads {
		fl.reads = true
		fl.logs.Go(func() {
			fl.logErr = fl.c.Logs(ctx, fl.id, time.Time{}, true, func(stream uint8, _ time.Time, b []byte) error { return fl.a.output(stream, b) })
		})
	}
}

func (a *App) bill(o api.Order) {
	if o.Channel == "" {
		return
	}
	a.say("bill   ran %s, paid %s, returned %s of %s", span(time.Duration(o.BillableMS)*time.Millisecond), o.Paid, o.Returned, o.Deposit)
}

func writeStatus(path string, o api.Order) error {
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
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
		return attached{&market.Error{Code: or(o.Code, "internal"), Kind: market.KindConflict, Op: "run job", Detail: o.Detail, Hint: or(o.Hint, "gpuai show "+o.ID)}}
	}
	return nil
}
