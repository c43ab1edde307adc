package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
)

// syncHeld is how many Offers a node holds at most, syncLacks how many of them the other one lacks.
const (
	syncHeld  = 50_000
	syncLacks = 1000
	syncWait  = time.Minute
)

// syncNode is a node of benchSync.
type syncNode struct {
	host   *p2p.Host
	offers *offers.Service
}

// benchSync connects a node that holds all Offers with one that lacks some. The limit is the missing documents alone.
// Each of the two begins a session as soon as it sees the other, so that documents may come twice.
func benchSync(ctx context.Context, _ options, r *report) error {
	sctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	raws, err := sealedOffers(syncHeld)
	if err != nil {
		return err
	}
	full, err := syncNodeOf(sctx, &wg, raws)
	if err != nil {
		return err
	}
	late, err := syncNodeOf(sctx, &wg, raws[syncLacks:])
	if err != nil {
		return err
	}
	ideal := 0
	for _, raw := range raws[:syncLacks] {
		ideal += len(raw)
	}
	began := time.Now()
	if err := late.host.Connect(ctx, full.host.ID(), full.host.Addrs()); err != nil {
		return err
	}
	if err := within(ctx, func() bool { return late.offers.Stats().Offers == syncHeld }); err != nil {
		return err
	}
	took := time.Since(began)
	sessions := func() uint64 { return late.host.Counts()[p2p.Count{Of: p2p.CountSyncs, Label: p2p.Result(true)}] }
	if err := within(ctx, func() bool { return sessions() >= 2 }); err != nil {
		return err
	}
	time.Sleep(time.Second) // a session is counted before its bytes are
	counts, n := late.host.Counts(), float64(sessions())
	for _, way := range []string{"in", "out"} {
		f := figure{Name: "sync_" + way, Unit: "kB a session", OK: true,
			Value: float64(counts[p2p.Count{Of: p2p.CountSyncBytes, Label: way}]) / n / 1000,
			Peer:  "missing documents", PeerValue: float64(ideal) / 1000}
		if err := r.add(f); err != nil {
			return err
		}
	}
	if err := r.add(figure{Name: "sync_sessions", Value: n, Unit: "at a meeting", OK: true}); err != nil {
		return err
	}
	return r.add(figure{Name: "sync_all_there", Value: millis(took), Unit: "ms", OK: true})
}

// syncNodeOf is a node that holds Offers; it has no peers.
func syncNodeOf(ctx context.Context, wg *sync.WaitGroup, raws [][]byte) (n syncNode, err error) {
	if n.host, err = loopbackHost(ctx, wg, []string{"/ip4/127.0.0.1/udp/0/quic-v1"}); err != nil {
		return n, err
	}
	n.offers = offers.New(n.host, slog.New(slog.DiscardHandler), dropOffers{})
	wg.Go(func() { _ = n.offers.Serve(ctx) }) // it ends with ctx
	if err := inParts(len(raws), func(i int) error { return n.offers.Publish(ctx, raws[i]) }); err != nil {
		return n, err
	}
	if held := n.offers.Stats().Offers; held != len(raws) {
		return n, fmt.Errorf("%d of %d Offers were taken", held, len(raws))
	}
	return n, nil
}

// within waits for what no event tells. Errors: ctx or the time ended.
func within(ctx context.Context, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, syncWait)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}
