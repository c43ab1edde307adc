//go:build integration

// Package itest runs whole nodes on real parts: LiteSVM ledger, dockerd, libp2p, bbolt. Needs root, an engine
// (DOCKER_HOST) and Node.js.
package itest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/cmd/gpuai/demo/check"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/spec"
)

const network = "localnet-itest"

func start(t *testing.T, name string, srv *localnet.Server, change func(*config.Config)) *node.Node {
	t.Helper()
	loaded, err := config.Load(config.Options{Env: []string{"HOME=" + t.TempDir(), "GPUAI_NODE_NETWORK=" + network,
		"GPUAI_SOLANA_RPC=http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := loaded.Config
	cfg.Solana.RPC = nil
	cfg.Node.Network, cfg.Node.DataDir, cfg.Node.Roles = network, filepath.Join(t.TempDir(), name), nil
	cfg.P2P.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	if srv != nil {
		cfg.Solana.RPC = []string{srv.RPC}
	}
	if change != nil {
		change(&cfg)
	}
	if err := os.MkdirAll(cfg.Node.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	level := slog.LevelInfo
	if os.Getenv("GPUAI_DEBUG") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", name)
	ctx, cancel := context.WithCancel(context.Background())
	n, err := node.New(cfg, node.Deps{}, log)
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { done <- n.Serve(ctx, ready) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatalf("%s: %v", name, err)
	case <-time.After(30 * time.Second):
		t.Fatalf("%s is not ready", name)
	}
	return n
}

func sampleImage(t *testing.T, r *runtimetest.Registry) spec.ImageRef {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sample")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "github.com/gpuai/gpuai/cmd/sample")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := r.Push("gpuai/sample", map[string][]byte{"/sample": b},
		runtimetest.ImageConfig{Entrypoint: []string{"/sample"}})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestPaidJob_RealParts runs the sample job for money: deposit = paid + returned on the real program, the picture is
// right.
func TestPaidJob_RealParts(t *testing.T) {
	host := runtimetest.NeedDocker(t)
	srv := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: 100})
	reg := runtimetest.StartRegistry(t)
	image := sampleImage(t, reg)
	boot := start(t, "bootstrap", nil, func(c *config.Config) { c.P2P.Infra = true })
	payout := market.Address(bytes.Repeat([]byte{7}, 32))
	start(t, "provider", srv, func(c *config.Config) {
		c.Node.Roles, c.P2P.Bootstrap = []string{"provider"}, boot.Addrs()
		c.Provider.Payout, c.Provider.Rate = payout.String(), "1/h"
		c.Provider.Tick, c.Provider.Hold = config.Duration(2*time.Second), config.Duration(time.Minute)
		// A simulated GPU: measuring would start this test binary as the GPU agent.
		c.Provider.Simulate = []string{"rtx-4090:1"}
		c.Provider.DockerHost, c.Provider.AllowWeakRuntime, c.Provider.Egress = host, true, "none"
	})
	n := start(t, "customer", srv, func(c *config.Config) {
		c.Node.Roles, c.P2P.Bootstrap = []string{"customer"}, boot.Addrs()
	})
	ctx := context.Background()
	if err := n.Spending().Airdrop(ctx, n.Spending().Address(), 2_000_000_000); err != nil {
		t.Fatal(err)
	}
	c := n.Customer()
	wait(t, "the offer is not seen", 30*time.Second, func() bool { return len(c.Book.Offers()) == 1 })

	scene := check.DefaultScene
	f := spec.NewFile(image.Ref)
	f.GPU, f.Egress, f.StopGrace = spec.GPU{AnyOf: []string{"rtx-4090"}}, market.EgressNone, 5*time.Second
	f.CPUMilli, f.Memory, f.Disk, f.Shm = 1000, 512<<20, 1<<30, 64<<20
	f.Limits = spec.FileLimits{MaxRate: 1_000_000_000, MaxTotal: 50_000_000, MaxDuration: 10 * time.Minute}
	f.Inputs = []spec.Source{{From: "scene.txt", To: "/workspace/in/scene.txt"}}
	f.Outputs = []spec.Output{{Path: "/workspace/out"}}
	req := customer.Request{Key: "itest", File: f, Image: image, InputBytes: uint64(len(scene))}
	id := customer.OrderIDOf(c.ID(), req.Key)
	if err := os.MkdirAll(filepath.Dir(c.Spool.Inputs(id)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Spool.Inputs(id), tarOf(t, "in/scene.txt", scene), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Place(ctx, req); err != nil {
		t.Fatal(err)
	}
	var v customer.View
	wait(t, "the order is not over", 120*time.Second, func() bool {
		var err error
		if v, err = c.Order(id.String()); err != nil {
			t.Fatal(err)
		}
		return v.Standing == customer.StandingEnded || v.Standing == customer.StandingFailed
	})
	if v.Code != market.CodeCompleted || !v.BothSigned || !v.Finished {
		t.Fatalf("%s: %s %s; signed by both %v, finished %v; %+v", v.Standing, v.Code, v.Detail, v.BothSigned,
			v.Finished, v.Steps)
	}
	states, err := n.Spending().Balance(ctx, payout)
	if err != nil || states != v.Paid || v.Paid == 0 || v.Paid+v.Returned != v.Deposit {
		t.Errorf("payout holds %d (%v); deposit %d, paid %d, returned %d", states, err, v.Deposit, v.Paid, v.Returned)
	}
	files := untar(t, c.Spool.Outputs(id))
	if err := check.Check(scene, files["out/frame.png"], files["out/report.json"], [32]byte{1, 2, 3}); err != nil {
		t.Error(err)
	}
	t.Logf("deposit %s = paid %s + returned %s SOL; own meter %d ms, billed %d ms", v.Deposit.SOL(), v.Paid.SOL(),
		v.Returned.SOL(), v.Lease.Meter.BillableMS, v.Lease.ClaimMS)
}

func wait(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func tarOf(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, d := range []string{"in/"} {
		if err := w.WriteHeader(&tar.Header{Name: d, Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
			t.Fatal(err)
		}
	}
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(data)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func untar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
