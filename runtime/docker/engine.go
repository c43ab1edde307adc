package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Deadlines of single steps.
const (
	askTimeout    = 10 * time.Second // inspect, list, volumes
	createTimeout = 60 * time.Second
	startTimeout  = 120 * time.Second
	freezeTimeout = 5 * time.Second
	closeTimeout  = 5 * time.Second
	joinFor       = 400 * time.Millisecond // how long a call waits for the worker
	killEvery     = 10 * time.Second
	stuckAfter    = 60 * time.Second
	floorWindow   = 60 * time.Second
)

// Labels of our containers. They are hints: an image can set labels, but never its container's name.
const (
	labelLease   = "gpuai.lease"
	labelAttempt = "gpuai.attempt"
	labelSpec    = "gpuai.spec"
)

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

// Engine implements job.Runner and job.Access.
type Engine struct {
	cfg    Config
	mem    job.Memory
	log    *slog.Logger
	api    *client.Client
	window time.Duration         // of the floor rate
	rest   time.Duration         // after a first try
	rig    func() []netip.Prefix // addresses and routes that no job reaches

	ctx    context.Context // ends with Close; owns the workers
	cancel context.CancelFunc
	wg     sync.WaitGroup

	registries *spec.Resolver // asks how long a registry wants to be left alone

	pulls   chan struct{} // slots
	creates chan struct{}
	pulling flights
	disk    watcher
	logSize string      // of one file of a job's log; tests make it small
	network atomic.Bool // was needed in this life

	mu    sync.Mutex
	jobs  map[job.Key]*entry
	execs map[job.Key]int

	readyMu sync.Mutex
	probeMu sync.Mutex
	ready   *prepared
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
	registries, err := spec.NewResolver("linux/amd64", nil)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Engine{
		cfg: cfg, registries: registries, mem: mem, log: log, api: api, window: floorWindow, rest: firstRest,
		rig: rigPrefixes, ctx: ctx, cancel: cancel,
		pulls: make(chan struct{}, 2), creates: make(chan struct{}, 4), pulling: flights{m: map[string]*flight{}},
		disk: watcher{crossed: make(chan struct{}, 1), grants: map[job.Key]uint64{}, used: map[string]usage{}},
		jobs: map[job.Key]*entry{}, execs: map[job.Key]int{},
	}, nil
}

// Close ends the workers and leaves every container as it is. The node's network goes if no container needs it: its
// range is one of few.
func (e *Engine) Close() error {
	e.cancel()
	e.wg.Wait()
	if e.network.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if found, err := e.List(ctx); err == nil && len(found) == 0 {
			_ = e.api.NetworkRemove(ctx, e.networkName()) // one in use is refused, one that stays is used again
		}
	}
	return e.api.Close()
}

func (e *Engine) networkName() string { return "gpuai-" + e.cfg.Peer8 }

// prepared is what the first lease needs once per life of this node.
type prepared struct {
	tools  string // image id
	volume string
	hard   map[string]int64 // hard limits that a container can have
}

// prepare loads the helper's image and fills its volume, once; after a failure, or when somebody removed them (docker
// system prune), the next call does it again: a job over an empty volume would end for want of its own init.
func (e *Engine) prepare(ctx context.Context) (*prepared, error) {
	e.readyMu.Lock()
	defer e.readyMu.Unlock()
	if e.ready != nil && e.there(ctx, e.ready) {
		return e.ready, nil
	}
	p, err := e.loadTools(e.ctx) // not the job's: it is for all, and a job that is stopped must not leave it half done
	if err != nil {
		return nil, err
	}
	e.ready = p
	return p, nil
}

// there reports whether nothing of p is known to be gone.
func (e *Engine) there(ctx context.Context, p *prepared) bool {
	ctx, cancel := ask(ctx)
	defer cancel()
	_, verr := e.api.VolumeInspect(ctx, p.volume)
	_, ierr := e.api.ImageInspect(ctx, p.tools)
	return !notFound(verr) && !notFound(ierr)
}

func (e *Engine) name(k job.Key, role string) string {
	return fmt.Sprintf("%s%s-%s-%d", e.prefix(), lease16(k.Lease), role, k.Attempt)
}

func (e *Engine) prefix() string { return "gpuai-" + e.cfg.Peer8 + "-" }

func (e *Engine) volume(k job.Key, what string) string {
	return e.prefix() + lease16(k.Lease) + "-" + what
}

// leaseName is how much of a lease's id is in names.
const leaseName = 16

func lease16(id market.LeaseID) string {
	return strings.TrimPrefix(id.String(), "lease_")[:leaseName]
}

// keyOf reads a key back from a container's name and its label.
func (e *Engine) keyOf(name, lease string) (k job.Key, role string, ok bool) {
	rest, ours := strings.CutPrefix(strings.TrimPrefix(name, "/"), e.prefix())
	parts := strings.Split(rest, "-")
	if !ours || len(parts) != 3 || parts[1] != "job" && parts[1] != "guard" {
		return k, "", false
	}
	id, err := market.ParseLeaseID(lease)
	if err != nil || lease16(id) != parts[0] {
		return k, "", false
	}
	n, err := strconv.Atoi(parts[2])
	return job.Key{Lease: id, Attempt: n}, parts[1], err == nil
}

// whole is for a call that makes or removes something: it is not cut off with ctx, since the engine would go on with
// it, and what it makes then appears behind the removal.
func whole(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// ask bounds one short call.
func ask(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askTimeout)
}

func notFound(err error) bool { return cerrdefs.IsNotFound(err) }

// engineError is the user's view of an engine that failed.
func engineError(op string, err error) error {
	var me *market.Error
	if err == nil || errors.As(err, &me) {
		return err
	}
	return &market.Error{Code: "engine-error", Kind: market.KindUnavailable, Op: op, Err: err, Hint: "gpuai doctor"}
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

func (e *Engine) resolvers(words []string) (out []netip.Addr) {
	if len(words) == 0 {
		words = e.cfg.Resolvers
	}
	for _, w := range words {
		if a, err := netip.ParseAddr(w); err == nil && a.Is4() {
			out = append(out, a)
		}
	}
	return out
}
