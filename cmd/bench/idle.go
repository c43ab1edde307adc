package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// Targets of an idle node.
const (
	idleRSS = 40.0 // MB
	idleCPU = 0.1  // % of a core
)

// idleSlot is a public cluster's slot time.
const idleSlot = 400 * time.Millisecond

// benchIdle measures a customer's node that does nothing, connected to peers: they are hosts in this process with the
// same gossip, so what they cost does not count. The ledger is local, which the node asks more often than a public one.
func benchIdle(ctx context.Context, o options, r *report) (err error) {
	w, err := newWorld(ctx, o, idleSlot)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	n, err := w.start(ctx, "customer", "node.roles=customer", "solana.rpc="+w.ledger.RPC)
	if err != nil {
		return err
	}
	if len(n.status.Addresses) == 0 {
		return errors.New("the node has no address")
	}
	pctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range o.peers {
		if err := startPeer(pctx, &wg, w.network, n.status.Addresses[0], loopback); err != nil {
			return err
		}
	}
	err = until(ctx, fmt.Sprintf("%d peers", o.peers), nodeWait, func() (bool, error) {
		s, err := n.client.Status(ctx)
		n.status = s
		return s.Peers >= o.peers, err
	})
	if err != nil {
		return fmt.Errorf("%w: it has %d", err, n.status.Peers)
	}
	if err := await.Sleep(ctx, o.settle); err != nil {
		return err
	}
	return measureIdle(ctx, o, r, n)
}

func measureIdle(ctx context.Context, o options, r *report, n *process) error {
	pid := n.cmd.Process.Pid
	before, err := cpuTime(pid)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := await.Sleep(ctx, o.window); err != nil {
		return err
	}
	after, err := cpuTime(pid)
	if err != nil {
		return err
	}
	cpu := 100 * float64(after-before) / float64(time.Since(began))
	s, err := n.client.Status(ctx)
	if err != nil {
		return err
	}
	mb, err := memoryOf(pid)
	if err != nil {
		return err
	}
	maps, err := mappings(pid, n.cmd.Path)
	if err != nil {
		return err
	}
	figures := []figure{
		{Name: "idle_rss", Value: mb[0], Unit: "MB", Target: fmt.Sprintf("≤ %g MB", idleRSS), OK: mb[0] <= idleRSS},
		{Name: "idle_rss_anonymous", Value: mb[1], Unit: "MB", OK: true},
		{Name: "idle_rss_peak", Value: mb[2], Unit: "MB", OK: true},
		{Name: "idle_cpu", Value: cpu, Unit: "% of a core", Target: fmt.Sprintf("≤ %g %%", idleCPU),
			OK: cpu <= idleCPU},
		{Name: "idle_peers", Value: float64(s.Peers), Unit: "peers", Target: fmt.Sprintf("≥ %d", o.peers),
			OK: s.Peers >= o.peers},
	}
	for _, m := range maps {
		figures = append(figures,
			figure{Name: "idle_" + m.name, Value: m.resident / 1e6, Unit: "MB", OK: true},
			figure{Name: "idle_" + m.name + "_anonymous", Value: m.own / 1e6, Unit: "MB", OK: true})
	}
	for _, f := range figures {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}

// loopback is where peers are as a rule.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// startPeer runs one host with gossip at an address of this machine until ctx ends; it dials the node.
func startPeer(ctx context.Context, wg *sync.WaitGroup, network, node string, at netip.Addr) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	cfg := p2p.Config{Network: network, Key: key, Bootstrap: []string{node}}
	p2ptest.From(&cfg, at)
	h, err := p2p.New(cfg, nil, log)
	if err != nil {
		return err
	}
	gossip := offers.New(h, log, dropOffers{})
	failed := make(chan error, 1)
	wg.Go(func() { failed <- h.Serve(ctx) })
	wg.Go(func() { _ = gossip.Serve(ctx) }) // it ends with the host, whose error counts
	select {
	case <-h.Ready():
		return nil
	case err := <-failed:
		return fmt.Errorf("start a peer: %w", err)
	}
}

type dropOffers struct{}

func (dropOffers) Offer(market.Offer, []byte) {}

// cpuTime is user and system time of a process so far, in steps of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read times of the node: %w", err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name may hold spaces
	if len(f) < 13 {
		return 0, errors.New("read times of the node: too few fields")
	}
	var ticks int64
	for _, s := range f[11:13] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read times of the node: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
