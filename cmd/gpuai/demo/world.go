package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gpuai/gpuai/cmd/gpuai/images"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/docker"
	"github.com/gpuai/gpuai/runtime/image"
)

// How long a node may take to answer, and how often it is asked.
const (
	nodeWait = 30 * time.Second
	pollTime = 50 * time.Millisecond
	peer8    = 8 // characters of a peer id in the engine's names
)

// world is what the demo has started.
type world struct {
	dir     string
	o       Options
	network string
	ledger  *localnet.Server
	images  *image.Server
	image   string // of the sample job
	digest  string // of its manifest
	nodes   []*process
	payout  market.Address
	engine  *docker.Engine
	before  docker.Traces // of the engine
}

// openEngine notes what the engine has, so that the demo can leave it as it was. Errors: no engine answers.
func (w *world) openEngine(ctx context.Context) (err error) {
	w.engine, err = docker.New(docker.Config{Peer8: "demo"}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if w.before, err = w.engine.Traces(ctx); err != nil {
		return errors.Join(err, w.engine.Close())
	}
	return nil
}

// sweep removes what the engine got by this demo: what leases keep that did not end (their node will not come back for
// it), the sample's image, and the sandbox helper if it was not there before. Errors: every lease has ended and
// something is left all the same.
func (w *world) sweep(ctx context.Context, ended bool) error {
	var errs []error
	for _, p := range w.nodes {
		if len(p.status.PeerID) < peer8 {
			continue // it never answered
		}
		name := p.status.PeerID[len(p.status.PeerID)-peer8:]
		left, err := w.engine.Objects(ctx, name)
		if ended && len(left) > 0 {
			err = fmt.Errorf("%s left in the engine: %s", p.name, strings.Join(left, ", "))
		}
		errs = append(errs, err, w.engine.RemoveNode(ctx, name))
	}
	var registries []string
	if w.images != nil {
		registries = append(registries, w.images.Host)
	}
	return errors.Join(append(errs, w.engine.Sweep(ctx, w.before, registries...), w.engine.Close())...)
}

// serveImage serves the sample job: digest and pull are real.
func (w *world) serveImage() error {
	sample, err := images.Sample()
	if err != nil {
		return err
	}
	if w.images, err = image.Serve(0); err != nil {
		return err
	}
	ref, err := w.images.Add(images.SampleName, images.SampleTag, sample)
	w.image, w.digest = ref.Ref, ref.Manifest
	return err
}

// process is one node: a child of the same binary.
type process struct {
	name   string
	cmd    *exec.Cmd
	client *api.Client
	status api.Status
	done   chan struct{}
	wait   sync.WaitGroup
}

// startNode starts a node with its own folder and keys, and waits until it answers.
func (w *world) startNode(ctx context.Context, name string, sets ...string) (*process, error) {
	dir := filepath.Join(w.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of %s: %w", name, err)
	}
	log, err := os.Create(filepath.Join(w.dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("make log of %s: %w", name, err)
	}
	defer log.Close()
	socket := filepath.Join(dir, "api.sock")
	config := filepath.Join(dir, "config.toml") // empty: no setting of this machine's user may reach the demo
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		return nil, fmt.Errorf("write settings of %s: %w", name, err)
	}
	args := []string{"node", "--config", config, "--socket", socket}
	for _, s := range append([]string{"node.network=" + w.network, "node.data_dir=" + dir,
		"p2p.listen=/ip4/127.0.0.1/udp/0/quic-v1"}, sets...) {
		args = append(args, "--set", s)
	}
	p := &process{name: name, cmd: exec.Command(w.o.Exe, args...), client: api.Dial(socket), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = log, log, clean(w.o.Env)
	own(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	w.nodes = append(w.nodes, p)
	p.wait.Go(func() { defer close(p.done); _ = p.cmd.Wait() }) // its end is seen at done, its words are in the log
	return p, p.ready(ctx, log.Name())
}

// clean drops settings of the caller's own node from the environment.
func clean(env []string) (out []string) {
	for _, s := range env {
		if !strings.HasPrefix(s, "GPUAI_") {
			out = append(out, s)
		}
	}
	return out
}

func (p *process) ready(ctx context.Context, log string) error {
	for end := time.Now().Add(nodeWait); ; {
		s, err := p.client.Status(ctx)
		if err == nil {
			p.status = s
			return nil
		}
		if market.CodeOf(err) != market.CodeNodeUnreachable {
			return fmt.Errorf("ask %s: %w", p.name, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended at its start: %s", p.name, lastLine(log))
		case <-time.After(pollTime):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not answer after %s: %s", p.name, nodeWait, lastLine(log))
		}
	}
}

func lastLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// until polls f, and says what it waited for when the time is over.
func until(ctx context.Context, what string, limit time.Duration, f func() (bool, error)) error {
	for end := time.Now().Add(limit); ; {
		done, err := f()
		if done || err != nil {
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

// stop ends leases first, so that no container stays, then the nodes, the customer first, and the ledger last.
// ended: all leases have.
func (w *world) stop(ctx context.Context, ended bool) error {
	var errs []error
	for i := len(w.nodes) - 1; i >= 0; i-- {
		p := w.nodes[i]
		asking, cancel := context.WithTimeout(ctx, stopWait/2)
		err := p.client.Shutdown(asking, true)
		cancel()
		if err != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		}
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			errs = append(errs, fmt.Errorf("%s did not end and was killed", p.name), p.cmd.Process.Kill())
		}
		p.wait.Wait()
	}
	errs = append(errs, w.sweep(ctx, ended)) // after the nodes: a container would hold its image
	if w.images != nil {
		errs = append(errs, w.images.Close())
	}
	if w.ledger != nil {
		errs = append(errs, w.ledger.Close())
	}
	return errors.Join(errs...)
}

// suffix makes the network's name unique: two demos at once do not meet.
func suffix() string { return strings.ToLower(rand.Text()[:8]) }
