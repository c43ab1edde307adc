package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	randv2 "math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Validated are the Offers of benchValidate, of as many signers, and how many workers check them.
const (
	validated       = 10_000
	validateWorkers = 2
	validateTarget  = 20_000
)

// benchValidate publishes Offers of others on a node without peers: each passes the topic's validator, as one that
// comes by gossip does but for the rates of its forwarder. The limit is the check of as many signatures alone.
func benchValidate(ctx context.Context, _ options, r *report) (err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	h, err := p2p.New(p2p.Config{Network: "localnet-bench", Key: key,
		Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}}, nil, log)
	if err != nil {
		return err
	}
	service := offers.New(h, log, dropOffers{})
	sctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = h.Serve(sctx) }) // without it nothing is published
	wg.Go(func() { _ = service.Serve(sctx) })
	raws, err := sealedOffers(validated)
	if err != nil {
		return err
	}
	if err := service.Publish(ctx, raws[0]); err != nil { // it waits for the start
		return err
	}
	took, ours, err := worked(func() error {
		return inParts(len(raws), func(i int) error { return service.Publish(ctx, raws[i]) })
	})
	if err != nil {
		return err
	}
	envelopes := make([]wire.Envelope, len(raws))
	for i := range raws {
		if envelopes[i], err = wire.Parse(raws[i], h.Network().Name); err != nil {
			return err
		}
	}
	_, bare, err := worked(func() error {
		return inParts(len(raws), func(i int) error { return envelopes[i].Verify(h.Network().Name) })
	})
	if err != nil {
		return err
	}
	n := float64(len(raws))
	if held := service.Stats().Offers; held != len(raws) {
		return fmt.Errorf("%d of %d Offers were taken", held, len(raws))
	}
	rate := validateWorkers * n / ours.Seconds()
	if err := r.add(figure{Name: "validate_offers", Value: rate, Unit: "offers/s of 2 cores", Peer: "ed25519 alone",
		PeerValue: validateWorkers * n / bare.Seconds(), Target: "≥ 20000", OK: rate >= validateTarget}); err != nil {
		return err
	}
	return r.add(figure{Name: "validate_offers_wall", Value: n / took.Seconds(), Unit: "offers/s", OK: true})
}

// worked is how long f takes by the clock, and on the processor with all that this process does meanwhile.
func worked(f func() error) (wall, cpu time.Duration, err error) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := f(); err != nil {
		return 0, 0, err
	}
	wall = time.Since(began)
	after, err := cpuTime(os.Getpid())
	return wall, max(after-before, 10*time.Millisecond), err
}

// inParts calls f for each number below n, by validateWorkers at once.
func inParts(n int, f func(i int) error) error {
	var g errgroup.Group
	for w := range validateWorkers {
		g.Go(func() error {
			for i := w; i < n; i += validateWorkers {
				if err := f(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// sealedOffers are Offers of one rig each, signed.
func sealedOffers(n int) (raws [][]byte, err error) {
	rng, now := randv2.New(randv2.NewPCG(1, 2)), uint64(time.Now().UnixMilli())
	for i := range n {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		o := rig(rng, i, now)
		o.Provider, o.Version = market.NodeID(pub), "bench"
		for j := range o.Groups[0].Devices {
			o.Groups[0].Devices[j] = market.DeviceID{byte(i), byte(i >> 8), byte(j)}
		}
		o.Groups[0].Name = "bench"
		o.Groups[0].Rates[0] = o.Groups[0].Rates[0] / 100_000 * 100_000
		raw, err := wire.SealOffer(key, "localnet-bench", o)
		if err != nil {
			return nil, err
		}
		raws = append(raws, raw)
	}
	return raws, nil
}
