//go:build integration

package itest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/runtime/docker"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// rig is one ledger, one registry with the test program, and a meeting point; tests add their nodes.
type rig struct {
	docker string
	srv    *localnet.Server
	reg    *runtimetest.Registry
	image  spec.ImageRef
	boot   *node.Node
	payout market.Address
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{docker: runtimetest.NeedDocker(t), srv: escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: 100}),
		reg: runtimetest.StartRegistry(t)}
	r.image = runtimetest.PushTestJob(t, r.reg, runtimetest.BuildTestJob(t),
		"gpuai/testjob-"+strings.ToLower(rand.Text()[:6]), runtimetest.ImageConfig{})
	r.boot = start(t, "bootstrap", nil, func(c *config.Config) { c.P2P.Infra = true })
	r.payout = market.Address([]byte(rand.Text() + strings.Repeat("p", 32))[:32])
	return r
}

// tickOf is the provider's tick in these tests.
const tickOf = 2 * time.Second

func (r *rig) provider(t *testing.T, devices int) *node.Node {
	t.Helper()
	return start(t, "provider", r.srv, func(c *config.Config) {
		c.Node.Roles, c.P2P.Bootstrap = []string{"provider"}, r.boot.Addrs()
		c.Provider.Payout, c.Provider.Rate = r.payout.String(), "1/h"
		c.Provider.Tick, c.Provider.Hold = config.Duration(tickOf), config.Duration(time.Minute)
		c.Provider.Simulate = []string{fmt.Sprintf("rtx-4090:%d", devices)}
		c.Provider.DockerHost, c.Provider.AllowWeakRuntime, c.Provider.Egress = r.docker, true, "none"
		c.Limits.PayerStarts = 0 // customers here pay for nothing, several times at once
	})
}

func (r *rig) customer(t *testing.T) *node.Node {
	t.Helper()
	n := start(t, "customer", r.srv, func(c *config.Config) {
		c.Node.Roles, c.P2P.Bootstrap = []string{"customer"},
			r.boot.Addrs()
	})
	if err := n.Spending().Airdrop(t.Context(), n.Spending().Address(), 2_000_000_000); err != nil {
		t.Fatal(err)
	}
	wait(t, "the offer is not seen", 60*time.Second, func() bool {
		o := n.Customer().Book.Offers()
		return len(o) == 1 &&
			len(o[0].Groups) > 0
	})
	return n
}

// request runs steps of the test program on one simulated GPU.
func (r *rig) request(key string, steps ...string) customer.Request {
	f := spec.NewFile(r.image.Ref + "@" + r.image.Manifest)
	f.Args, f.GPU, f.Egress, f.StopGrace = steps, spec.GPU{AnyOf: []string{"rtx-4090"}}, market.EgressNone,
		2*time.Second
	f.CPUMilli, f.Memory, f.Disk, f.Shm = 500, 128<<20, 1<<30, 16<<20
	f.Limits = spec.FileLimits{MaxRate: 1_000_000_000, MaxTotal: 50_000_000, MaxDuration: 10 * time.Minute}
	return customer.Request{Key: key, File: f, Image: r.image}
}

// program is bin/gpuai, built once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gpuai-itest")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(dir, "gpuai")
	if out, err := exec.Command("go", "build", "-o", exe,
		"github.com/gpuai/gpuai/cmd/gpuai").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return exe, nil
})

// proc is a node as a process of its own, that can be killed and started again on its folder.
type proc struct {
	args []string
	log  string
	api  *api.Client
	cmd  *exec.Cmd
	peer string // the short form of its id
	in   *space // nil: the test's own
}

// sweep removes what a killed node has left in the engine: it does not come back for it.
func (r *rig) sweep(t *testing.T, peer string) {
	t.Helper()
	if peer == "" || r.docker == "" {
		return // it never answered, or has no engine
	}
	e, err := docker.New(docker.Config{Peer8: peer, Host: r.docker}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Error(err)
		return
	}
	if err := errors.Join(e.RemoveNode(context.Background(), peer), e.Close()); err != nil {
		t.Errorf("sweep what %s left: %v", peer, err)
	}
}

func newProc(t *testing.T, r *rig, name string, sets ...string) *proc {
	t.Helper()
	p := makeProc(t, r, name)
	p.set(append([]string{
		"node.network=" + network, "node.data_dir=" + filepath.Dir(p.log), "solana.rpc=" + r.srv.RPC,
		"p2p.bootstrap=" + r.boot.Addrs()[0],
		"p2p.listen=/ip4/127.0.0.1/udp/" + freePort(t) + "/quic-v1",
	}, sets...)...)
	p.start(t)
	return p
}

func (p *proc) set(sets ...string) {
	for _, s := range sets {
		p.args = append(p.args, "--set", s)
	}
}

// makeProc prepares a node that does not run yet.
func makeProc(t *testing.T, r *rig, name string) *proc {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &proc{log: filepath.Join(dir, "log"), api: api.Dial(filepath.Join(dir, "s"))}
	p.args = []string{"node", "--config", filepath.Join(dir, "config.toml"), "--socket", filepath.Join(dir, "s"),
		"--roles", name}
	t.Cleanup(func() {
		p.kill(t)
		r.sweep(t, p.peer)
		if t.Failed() {
			b, err := os.ReadFile(p.log)
			t.Logf("%s: %v\n%s", name, err, b)
		}
	})
	return p
}

// freePort keeps a node's address over its restarts.
func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (p *proc) start(t *testing.T) {
	t.Helper()
	exe, err := program()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(exe, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(p.log))
	if err := p.in.start(p.cmd); err != nil {
		t.Fatal(err)
	}
	wait(t, "the node does not answer", 60*time.Second, func() bool {
		s, err := p.api.Status(context.Background())
		if len(s.PeerID) > 8 {
			p.peer = s.PeerID[len(s.PeerID)-8:]
		}
		return err == nil
	})
}

// kill is kill -9.
func (p *proc) kill(t *testing.T) {
	t.Helper()
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.cmd.Wait() // "signal: killed"
	p.cmd = nil
}

// jobs lists containers whose command has the mark, with the time of their start: a container that was started again
// shows another one.
func (r *rig) jobs(t *testing.T, mark string) string {
	t.Helper()
	ids, err := exec.Command("docker", "--host", r.docker, "ps", "-aq", "--no-trunc").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, id := range strings.Fields(string(ids)) {
		out, err := exec.Command("docker", "--host", r.docker, "inspect", "-f",
			"{{.Id}} {{.State.StartedAt}} {{.RestartCount}} {{.Args}}", id).Output()
		if err == nil && strings.Contains(string(out), mark) { // one that has gone meanwhile is no job
			found = append(found, strings.TrimSpace(string(out)))
		}
	}
	return strings.Join(found, "\n")
}

// dir is the node's folder.
func (p *proc) dir() string { return filepath.Dir(p.log) }

// id is the node's id.
func (p *proc) id(t *testing.T) string {
	t.Helper()
	s, err := p.api.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.PeerID
}
