// Package p2ptest makes hosts and documents for tests of the packages around p2p: real hosts, on loopback in
// real time or on a simulated network in virtual time.
//
// Invariants: hosts are closed when the test ends. Concurrency: from the test's goroutine. Persistence: none. Next:
// Start, Run.
package p2ptest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
)

// Network is the name that Start uses when cfg has none.
const Network = "localnet-test"

// wait bounds how long tests wait for other goroutines.
const wait = 15 * time.Second

// Key returns a fixed node key per seed.
func Key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// NodeID returns the node of a key.
func NodeID(key ed25519.PrivateKey) market.NodeID { return market.NodeID(key[ed25519.SeedSize:]) }

// Start runs a host on loopback until the test ends and returns it when it listens. Network and Listen have defaults;
// cfg.Key is needed.
func Start(t testing.TB, cfg p2p.Config) *p2p.Host {
	t.Helper()
	Loopback{}.Prepare(t, &cfg)
	h, err := p2p.New(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, h.Serve)
	ready(t, h)
	return h
}

func ready(t testing.TB, h *p2p.Host) {
	t.Helper()
	select {
	case <-h.Ready():
	case <-time.After(wait):
		t.Fatal("host is not ready")
	}
}

// Serve runs a service until the test ends, which it then waits for; an error fails the test.
func Serve(t testing.TB, f func(context.Context) error) {
	t.Helper()
	t.Cleanup(serve(t, f))
}

// serve returns what ends the service and waits for it; it may be called again.
func serve(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// Pair starts two connected hosts, seeds 1 and 2.
func Pair(t testing.TB) (a, b *p2p.Host) {
	t.Helper()
	a = Start(t, p2p.Config{Key: Key(1)})
	b = Start(t, p2p.Config{Key: Key(2), Bootstrap: a.FullAddrs()})
	Eventually(t, "hosts do not connect", func() bool { return a.Peers() == 1 && b.Peers() == 1 })
	return a, b
}

// Eventually waits until other goroutines have made ok true; it fails the test after 15 s.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.After(wait)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(what)
		}
	}
}
