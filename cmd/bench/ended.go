package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/await"
)

// Targets of a node whose store is full of what has ended.
const (
	endedStart = time.Second
	endedList  = 50 * time.Millisecond
	endedRSS   = 5.0 // MB more than with an empty store
)

// How the bench fills and measures: real orders, each with a channel of its own; the ledger's slot, 3,000 of which a
// channel's storage deposit takes to come home; starts of each kind; how long a started node is left alone.
const (
	endedReal   = 3
	endedSlot   = 20 * time.Millisecond
	endedHome   = 3 * time.Minute
	endedStarts = 5
	endedAsks   = 20
	endedQuiet  = 10 * time.Second
)

// benchEnded measures nodes whose stores are full of what has ended, beside nodes with empty ones. A few orders are
// really run; once they have left both nodes' memory, their rows are copied under other ids and times.
func benchEnded(ctx context.Context, o options, r *report) (err error) {
	b, shut, err := newStartBench(ctx, o, endedSlot)
	defer func() { err = errors.Join(err, shut()) }()
	if err != nil {
		return err
	}
	b.args = []string{"echo=hello", "sleep=5s"} // it earns more than what the provider's new account must have
	for range endedReal {
		if _, _, err := b.order(ctx, false); err != nil {
			return err
		}
	}
	if err := b.home(ctx); err != nil {
		return err
	}
	for _, side := range []endedSide{{
		name: "customer", sets: b.customer.sets, all: "ps_all",
		list: func(ctx context.Context, c *api.Client) error {
			_, err := c.Orders(ctx, api.OrderQuery{})
			return err
		},
		listAll: func(ctx context.Context, c *api.Client) error {
			_, err := c.Orders(ctx, api.OrderQuery{All: true, Newest: 200})
			return err
		},
	}, {
		name: "provider", sets: b.rig.sets, all: "leases",
		listAll: func(ctx context.Context, c *api.Client) error { _, err := c.Leases(ctx); return err },
	}} {
		if err := side.measure(ctx, b.w, o.ended, r); err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
	}
	return nil
}

// home waits until the accounts of all channels are gone, and ends both nodes.
func (b *startBench) home(ctx context.Context) error {
	err := until(ctx, "the channels' storage deposits to come home", endedHome, func() (bool, error) {
		list, err := b.customer.client.Channels(ctx)
		for _, ch := range list {
			if ch.State != "gone" {
				return false, err
			}
		}
		return true, err
	})
	if err != nil {
		return err
	}
	if err := await.Sleep(ctx, endedQuiet); err != nil { // what leaves memory then is checked on disk
		return err
	}
	return errors.Join(b.w.stop(ctx, b.customer), b.w.stop(ctx, b.rig))
}

// endedSide is one role's node.
type endedSide struct {
	name          string
	sets          []string
	list, listAll func(context.Context, *api.Client) error
	all           string
}

// measure fills the side's store, and compares nodes on it with nodes on a new one.
func (s endedSide) measure(ctx context.Context, w *world, n int, r *report) error {
	began := time.Now()
	if err := fillEnded(ctx, filepath.Join(w.dir, s.name, "state.db"), n); err != nil {
		return err
	}
	r.note("%s: %d rows of what has ended in %s", s.name, n, time.Since(began).Round(time.Millisecond))
	empty, err := s.starts(ctx, w, s.name+"-empty")
	if err != nil {
		return err
	}
	full, err := s.starts(ctx, w, s.name)
	if err != nil {
		return err
	}
	const peer = "empty store"
	prefix := "ended_" + s.name + "_"
	figures := []figure{
		timeFigure(prefix+"start_p50", peer, quantile(full.start, 0.5), quantile(empty.start, 0.5), endedStart),
		timeFigure(prefix+s.all+"_p50", peer, quantile(full.all, 0.5), quantile(empty.all, 0.5), endedList),
	}
	if s.list != nil {
		figures = append(figures,
			timeFigure(prefix+"ps_p50", peer, quantile(full.list, 0.5), quantile(empty.list, 0.5), endedList))
	}
	for i, name := range []string{"rss", "rss_anonymous", "rss_peak"} {
		f := figure{Name: prefix + name, Value: full.mb[i], Unit: "MB", Peer: peer, PeerValue: empty.mb[i], OK: true}
		if i < 2 {
			f.Target = fmt.Sprintf("≤ %g MB more than the peer", endedRSS)
			f.OK = full.mb[i]-empty.mb[i] <= endedRSS
		}
		figures = append(figures, f)
	}
	for _, f := range figures {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}

func timeFigure(name, peer string, took, beside, limit time.Duration) figure {
	return figure{Name: name, Value: millis(took), Unit: "ms", Peer: peer, PeerValue: millis(beside),
		Target: fmt.Sprintf("≤ %g ms", millis(limit)), OK: took <= limit}
}

// endedFigures are of one folder's node: times of several starts, memory in MB of the last, before anything is listed.
type endedFigures struct {
	start, list, all []time.Duration
	mb               [3]float64
}

// starts starts the node again and again, each time as a process of its own; a start ends when it answers.
func (s endedSide) starts(ctx context.Context, w *world, name string) (f endedFigures, err error) {
	for i := range endedStarts + 1 {
		began := time.Now()
		p, err := w.startIn(ctx, name, s.sets...)
		if err != nil {
			return f, err
		}
		if i > 0 { // the first one makes the folder, or was not preceded by a node's end
			f.start = append(f.start, time.Since(began))
		}
		if i == endedStarts {
			if err := s.look(ctx, p, &f); err != nil {
				return f, err
			}
		}
		if err := w.stop(ctx, p); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (s endedSide) look(ctx context.Context, p *process, f *endedFigures) (err error) {
	if err := await.Sleep(ctx, endedQuiet); err != nil {
		return err
	}
	if f.mb, err = memoryOf(p.cmd.Process.Pid); err != nil {
		return err
	}
	for _, x := range []struct {
		ask   func(context.Context, *api.Client) error
		times *[]time.Duration
	}{{s.list, &f.list}, {s.listAll, &f.all}} {
		for range endedAsks {
			if x.ask == nil {
				break
			}
			began := time.Now()
			if err := x.ask(ctx, p.client); err != nil {
				return err
			}
			*x.times = append(*x.times, time.Since(began))
		}
	}
	return nil
}
