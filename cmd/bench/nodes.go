package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// How long a node may take to answer and to end, and how often something is looked at.
const (
	nodeWait = 30 * time.Second
	stopWait = 10 * time.Second
	pollTime = 20 * time.Millisecond
)

// world is a market on loopback: a local ledger with the real program, and nodes that are processes of the shipped
// binary.
type world struct {
	dir     string
	exe     string
	network string
	keep    bool
	ledger  *localnet.Server
	nodes   []*process
}

// process is one node.
type process struct {
	name   string
	log    string
	sets   []string
	cmd    *exec.Cmd
	client *api.Client
	status api.Status
	done   chan struct{}
	wait   sync.WaitGroup
}

// newWorld starts the ledger; slot is the time of one of its slots. Close it.
func newWorld(ctx context.Context, o options, slot time.Duration) (*world, error) {
	exe, err := filepath.Abs(o.exe)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(exe); err != nil {
		return nil, fmt.Errorf("no binary, run make build: %w", err)
	}
	dir, err := os.MkdirTemp("", "gpuai-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, exe: exe, network: "localnet-" + strings.ToLower(rand.Text()[:8]), keep: o.keep}
	if w.ledger, err = localnet.Start(ctx,
		localnet.Options{SlotMS: int(slot.Milliseconds()), Seed: w.network}); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// start starts a node with its own folder and keys and waits until it answers. sets: settings, as in --set.
func (w *world) start(ctx context.Context, name string, sets ...string) (*process, error) {
	if err := os.Mkdir(filepath.Join(w.dir, name), 0o700); err != nil {
		return nil, err
	}
	return w.startIn(ctx, name, sets...)
}

// startIn is start in a folder that may be there already.
func (w *world) startIn(ctx context.Context, name string, sets ...string) (*process, error) {
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.toml") // empty: no setting of this machine's user may reach the nodes
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(w.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	socket := filepath.Join(dir, "api.sock")
	args := []string{"node", "--config", config, "--socket", socket}
	for _, s := range append([]string{"node.network=" + w.network, "node.data_dir=" + dir,
		"p2p.listen=/ip4/127.0.0.1/udp/0/quic-v1"}, sets...) {
		args = append(args, "--set", s)
	}
	p := &process{name: name, log: log.Name(), sets: sets, cmd: exec.Command(w.exe, args...), client: api.Dial(socket),
		done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GPUAI_") {
			p.cmd.Env = append(p.cmd.Env, e)
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	w.nodes = append(w.nodes, p)
	p.wait.Go(func() { defer close(p.done); _ = p.cmd.Wait() }) // its end is seen at done
	return p, until(ctx, name+" to answer", nodeWait, func() (ok bool, err error) {
		select {
		case <-p.done:
			b, _ := os.ReadFile(p.log) // the reason is in it, if there is one
			return false, fmt.Errorf("%s ended at its start: %s", name, b)
		default:
		}
		p.status, err = p.client.Status(ctx)
		if market.CodeOf(err) == market.CodeNodeUnreachable {
			return false, nil
		}
		return err == nil, err
	})
}

// market starts a bootstrap node, a provider with the settings given and a customer, and waits until the customer sees
// the offer.
func (w *world) market(ctx context.Context, provider ...string) (customer, rig *process, err error) {
	boot, err := w.start(ctx, "bootstrap", "node.roles=", "p2p.infra=true")
	if err != nil {
		return nil, nil, err
	}
	if len(boot.status.Addresses) == 0 {
		return nil, nil, errors.New("the bootstrap node has no address")
	}
	join := []string{"p2p.bootstrap=" + boot.status.Addresses[0], "solana.rpc=" + w.ledger.RPC}
	var payout market.Address
	_, _ = rand.Read(payout[:]) // it never fails
	sets := append([]string{
		"node.roles=provider", "provider.payout=" + payout.String(), "provider.rate=1/h", "provider.tick=2s",
		"provider.hold=1m",
		"provider.egress=none", "provider.memory=2GiB", "provider.disk=4GiB", "provider.allow_weak_runtime=true",
	}, provider...)
	if rig, err = w.start(ctx, "provider", append(sets, join...)...); err != nil {
		return nil, nil, err
	}
	if customer, err = w.start(ctx, "customer", append([]string{"node.roles=customer"}, join...)...); err != nil {
		return nil, nil, err
	}
	err = until(ctx, "the offer", nodeWait, func() (bool, error) {
		list, err := customer.client.Offers(ctx, market.Sort{})
		return len(list) > 0, err
	})
	return customer, rig, err
}

// close ends nodes, customers first, and the ledger. Errors: what did not end by itself.
func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*stopWait)
	defer cancel()
	var errs []error
	for len(w.nodes) > 0 {
		errs = append(errs, w.stop(ctx, w.nodes[len(w.nodes)-1]))
	}
	if w.ledger != nil {
		errs = append(errs, w.ledger.Close())
	}
	if !w.keep {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// stop ends a node. Errors: it did not end by itself.
func (w *world) stop(ctx context.Context, p *process) (err error) {
	w.nodes = slices.DeleteFunc(w.nodes, func(x *process) bool { return x == p })
	asking, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	if err := p.client.Shutdown(asking, true); err != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	}
	select {
	case <-p.done:
	case <-time.After(stopWait):
		err = errors.Join(fmt.Errorf("%s did not end and was killed", p.name), p.cmd.Process.Kill())
	}
	p.wait.Wait()
	return err
}

// until looks until f holds, and says what it waited for when the limit is over.
func until(ctx context.Context, what string, limit time.Duration, f func() (bool, error)) error {
	for end := time.Now().Add(limit); ; {
		ok, err := f()
		if ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %s", what, limit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollTime):
		}
	}
}
