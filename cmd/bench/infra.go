package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/node/await"
)

// How a meeting point is filled: so many at once, and so many of one address, below what one may have.
const (
	infraAtOnce  = 8
	infraPerAddr = 128
	infraWait    = 5 * time.Minute
)

// infraSettle is how long the meeting point may take to let go of the least useful: those of the last minute stay.
const infraSettle = 90 * time.Second

// benchInfra fills a meeting point with peers, which are hosts of this process with the same gossip at many addresses
// of loopback, and reports what it then has in memory, and whether one more is taken, at once and after it has made
// room.
func benchInfra(ctx context.Context, o options, r *report) (err error) {
	w, err := newWorld(ctx, o, idleSlot)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	n, err := w.start(ctx, "infra", "node.roles=", "p2p.infra=true")
	if err != nil {
		return err
	}
	if len(n.status.Addresses) == 0 {
		return errors.New("the node has no address")
	}
	empty, err := memoryOf(n.cmd.Process.Pid)
	if err != nil {
		return err
	}
	pctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	most, began := watchPeers(pctx, &wg, n), time.Now()
	g := errgroup.Group{}
	g.SetLimit(infraAtOnce)
	for i := range o.conns {
		g.Go(func() error { return startPeer(pctx, &wg, w.network, n.status.Addresses[0], infraAddr(i)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(began)
	if err := await.Sleep(ctx, 10*time.Second); err != nil { // the last ones connect
		return err
	}
	full, err := memoryOf(n.cmd.Process.Pid)
	if err != nil {
		return err
	}
	for _, f := range []figure{
		{Name: "infra_most", Value: float64(most()), Unit: "peers", OK: true},
		{Name: "infra_fill", Value: took.Seconds(), Unit: "s", OK: true},
		{Name: "infra_rss_empty", Value: empty[0], Unit: "MB", OK: true},
		{Name: "infra_rss", Value: full[0], Unit: "MB", OK: full[0] <= infraRSS,
			Target: fmt.Sprintf("≤ %g MB", infraRSS)},
		{Name: "infra_rss_anonymous", Value: full[1], Unit: "MB", OK: true},
	} {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return newcomers(ctx, pctx, &wg, o, r, w, n)
}

// infraRSS is the memory of a whole small machine, which docs/operations.md asks for.
const infraRSS = 2000.0

// newcomers reports how many peers there are once the meeting point has made room, and whether it then takes another.
func newcomers(ctx, peers context.Context, wg *sync.WaitGroup, o options, r *report, w *world, n *process) error {
	if err := await.Sleep(ctx, infraSettle); err != nil {
		return err
	}
	s, err := n.client.Status(ctx)
	if err != nil {
		return err
	}
	room := s.Peers
	most := 0
	for i := range infraAtOnce {
		if err := startPeer(peers, wg, w.network, n.status.Addresses[0],
			infraAddr(o.conns+infraPerAddr+i)); err != nil {
			return err
		}
		if err := await.Sleep(ctx, time.Second); err != nil {
			return err
		}
		if s, err = n.client.Status(ctx); err != nil {
			return err
		}
		most = max(most, s.Peers)
	}
	mb, err := memoryOf(n.cmd.Process.Pid)
	if err != nil {
		return err
	}
	for _, f := range []figure{
		{Name: "infra_room", Value: float64(room), Unit: "peers", OK: true},
		{Name: "infra_with_newcomers", Value: float64(most), Unit: "peers", OK: true},
		{Name: "infra_rss_peak", Value: mb[2], Unit: "MB", OK: mb[2] <= infraRSS,
			Target: fmt.Sprintf("≤ %g MB", infraRSS)},
	} {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}

func infraAddr(i int) netip.Addr {
	n := i / infraPerAddr
	return netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n + 1)})
}

// watchPeers asks a node once a second how many peers it has; most is the largest answer.
func watchPeers(ctx context.Context, wg *sync.WaitGroup, n *process) (most func() int) {
	var mu sync.Mutex
	top := 0
	wg.Go(func() {
		for await.Sleep(ctx, time.Second) == nil {
			if s, err := n.client.Status(ctx); err == nil {
				mu.Lock()
				top = max(top, s.Peers)
				mu.Unlock()
			}
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return top
	}
}
