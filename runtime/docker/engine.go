package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/docker/docker/client"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/image"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox"
)

const closeTimeout = 5 * time.Second

// Config of an Engine. Peer8: last 8 characters of the peer id; nodes may share an engine. Host: address of the engine,
// "" = the environment's. AllowWeakRuntime: local network only; lets versions below the floors pass. Resolvers: used
// where a Plan names none.
// DiskEvery: how often the jobs' use of disk is measured, default a minute. DiskFloor: bytes that must stay free on the
// engine's disk, default the larger of 20 GiB and 5 %.
type Config struct {
	Peer8            string
	Host             string
	AllowWeakRuntime bool
	Resolvers        []string
	DiskEvery        time.Duration
	DiskFloor        uint64
}

// Engine implements job.Runner and job.Access: it is what its parts can do.
type Engine struct {
	*jobs   // Reconcile, Observe, Remove, List, Alive
	*access // Exec, Logs, Files, Usage
	*prober // Probe, Sellable, Doctor
	*traces // Traces, Sweep, Objects, RemoveNode
	cancel  context.CancelFunc
}

var (
	_ job.Runner = (*Engine)(nil)
	_ job.Access = (*Engine)(nil)
)

// New returns an Engine; it asks nothing of the engine yet, so that a node starts without one. Errors: a bad address, a
// missing peer name.
func New(cfg Config, mem job.Memory, log *slog.Logger) (*Engine, error) {
	if len(cfg.Peer8) == 0 || len(cfg.Peer8) > 16 || strings.ContainsAny(cfg.Peer8, "-/_. ") {
		return nil, fmt.Errorf("docker: %q is no short peer name", cfg.Peer8)
	}
	if len(cfg.Resolvers) == 0 {
		cfg.Resolvers = []string{"1.1.1.1", "9.9.9.9"}
	}
	if cfg.DiskEvery <= 0 {
		cfg.DiskEvery = diskEvery
	}
	for _, r := range cfg.Resolvers {
		if _, err := netip.ParseAddr(r); err != nil {
			return nil, fmt.Errorf("docker: resolver: %w", err)
		}
	}
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if cfg.Host != "" {
		opts = append(opts, client.WithHost(cfg.Host))
	}
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	registries, err := image.NewResolver("linux/amd64", nil)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	lf := &life{ctx: ctx}
	cs := &containers{names: names(cfg.Peer8), api: api, creates: make(slots, maxCreates)}
	d := &disk{life: lf, containers: cs, log: log, every: cfg.DiskEvery, least: cfg.DiskFloor,
		crossed: make(chan struct{}, 1), grants: map[job.Key]uint64{}, used: map[string]usage{}}
	ts := &tools{life: lf, containers: cs, turn: make(slots, 1)}
	gs := &guards{containers: cs, rig: rigPrefixes, resolvers: cfg.Resolvers}
	im := &images{life: lf, containers: cs, log: log, registries: registries, rest: firstRest, window: floorWindow,
		pulls: make(slots, maxPulls), flights: map[string]*flight{}}
	js := &jobs{life: lf, containers: cs, images: im, tools: ts, guards: gs, disk: d, rows: rows{mem}, log: log,
		rest: firstRest, entries: map[job.Key]*entry{}}
	return &Engine{
		jobs: js, access: &access{jobs: js, execs: map[job.Key]int{}},
		prober: &prober{containers: cs, doctor: &doctor{api: api, allowWeak: cfg.AllowWeakRuntime}, tools: ts,
			guards: gs, disk: d, turn: make(slots, 1)},
		traces: &traces{api: api}, cancel: cancel,
	}, nil
}

// Close ends the workers and leaves every container as it is. The node's network goes if no container needs it.
func (e *Engine) Close() error {
	e.cancel()
	e.jobs.wg.Wait()
	e.jobs.guards.leave(context.Background())
	return e.traces.api.Close()
}

// DiskLow tells, by a value each time, that the engine's disk fell below the floor: Sellable will refuse.
func (e *Engine) DiskLow() <-chan struct{} { return e.jobs.disk.crossed }

// engineError is the user's view of an engine that failed.
func engineError(op string, err error) error {
	var me *market.Error
	if err == nil || errors.As(err, &me) {
		return err
	}
	return &market.Error{Code: market.CodeEngineError, Kind: market.KindUnavailable, Op: op, Err: err,
		Hint: "gpuai doctor"}
}

func helperArgv(verb string, args ...string) []string {
	return append([]string{sandbox.Helper, verb}, args...)
}

// egressWord is the guard's word for an egress class, "" for none.
func egressWord(class uint8) string {
	switch class {
	case market.EgressWeb:
		return "web"
	case market.EgressAny:
		return "any"
	}
	return ""
}
