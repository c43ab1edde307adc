package p2ptest_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

// TestWorld_SimulatedLikeLoopback runs one set of checks on both worlds, else a simulation would only test itself.
func TestWorld_SimulatedLikeLoopback(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]func(*testing.T, p2ptest.World, string){
		"connect": connects, "stream": streamsAnswer, "gossip and sync": spreads, "networks": separates,
		"addresses": hidesPrivate,
	} {
		t.Run(name+"/loopback", func(t *testing.T) {
			t.Parallel()
			check(t, p2ptest.Loopback{}, "/ip4/127.0.0.1/udp/0/quic-v1")
		})
		t.Run(name+"/simulated", func(t *testing.T) {
			t.Parallel()
			p2ptest.Run(t, p2ptest.Options{},
				func(t *testing.T, n *p2ptest.Net) { check(t, n, "/ip4/10.0.0.1/udp/4801/quic-v1") })
		})
	}
}

// connects: a bootstrap entry is dialled, a connection is one for both, a ban ends it.
func connects(t *testing.T, w p2ptest.World, _ string) {
	a := w.Start(t, p2p.Config{Key: p2ptest.Key(1)})
	b := w.Start(t, p2p.Config{Key: p2ptest.Key(2), Bootstrap: a.FullAddrs()})
	p2ptest.Eventually(t, "hosts do not connect", func() bool { return a.Peers() == 1 && b.Peers() == 1 })
	if err := a.Connect(t.Context(), b.ID(), b.Addrs()); err != nil || a.Peers() != 1 || b.Peers() != 1 {
		t.Errorf("connect again: %v, %d and %d peers", err, a.Peers(), b.Peers())
	}
	if len(a.Addrs()) != 1 {
		t.Errorf("announces %v", a.Addrs())
	}
	if err := a.Connect(t.Context(), p2ptest.NodeID(p2ptest.Key(3)),
		b.Addrs()); market.CodeOf(err) != market.CodePeerUnreachable {
		t.Errorf("connect to another node at that address: %v", err)
	}
	a.Ban(b.ID(), time.Now().Add(time.Hour), "test")
	p2ptest.Eventually(t, "a banned peer stays", func() bool { return a.Peers() == 0 && b.Peers() == 0 })
}

type quoter struct{}

func (quoter) Quote(_ context.Context, _ market.NodeID, order []byte) ([]byte, error) {
	if len(order) == 0 {
		return nil, market.Refuse(market.CodeDoesNotFit, market.KindConflict, "empty")
	}
	return bytes.ToUpper(order), nil
}

// streamsAnswer: a request travels, its answer and its refusal come back.
func streamsAnswer(t *testing.T, w p2ptest.World, _ string) {
	a := w.Start(t, p2p.Config{Key: p2ptest.Key(1)})
	b := w.Start(t, p2p.Config{Key: p2ptest.Key(2)})
	streams.New(a, streams.Handlers{Quoter: quoter{}},
		slog.New(slog.DiscardHandler))
	s := streams.New(b, streams.Handlers{}, slog.New(slog.DiscardHandler))
	order := bytes.Repeat([]byte("order "), 500)
	if got, err := s.Quote(t.Context(), a.ID(), a.Addrs(), order); err != nil ||
		!bytes.Equal(got, bytes.ToUpper(order)) {
		t.Errorf("quote: %d bytes, %v", len(got), err)
	}
	if _, err := s.Quote(t.Context(), a.ID(), a.Addrs(), nil); market.CodeOf(err) != market.CodeDoesNotFit {
		t.Errorf("refusal: %v", err)
	}
}

type sink struct {
	mu  sync.Mutex
	got map[market.NodeID]uint64
}

func (s *sink) Offer(o market.Offer, _ []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got[o.Provider] = o.Seq
}

func (s *sink) seq(id market.NodeID) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[id]
}

func gossip(t *testing.T, h *p2p.Host) (*offers.Service, *sink) {
	out := &sink{got: map[market.NodeID]uint64{}}
	s := offers.New(h, nil, out)
	p2ptest.Serve(t, s.Serve)
	return s, out
}

// spreads: an offer reaches a peer by gossip and a late one by sync, which then knows how to reach the provider.
func spreads(t *testing.T, w p2ptest.World, _ string) {
	a := w.Start(t, p2p.Config{Key: p2ptest.Key(1)})
	b := w.Start(t, p2p.Config{Key: p2ptest.Key(2), Bootstrap: a.FullAddrs()})
	sa, _ := gossip(t, a)
	_, heard := gossip(t, b)
	o := market.Offer{
		Seq: uint64(time.Now().UnixMilli()), Lifetime: time.Hour, Mints: []market.Address{{}}, Version: "test",
		Reach: a.Addrs(),
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{1}}, Free: 1, Class: "rtx-4090", Name: "RTX 4090",
			Rates: []market.Rate{2_400_000}}},
	}
	raw, err := wire.SealOffer(p2ptest.Key(1), p2ptest.Network, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := sa.Publish(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	p2ptest.Eventually(t, "gossip does not arrive", func() bool { return heard.seq(a.ID()) == o.Seq })
	c := w.Start(t, p2p.Config{Key: p2ptest.Key(3), Bootstrap: b.FullAddrs()})
	_, late := gossip(t, c)
	p2ptest.Eventually(t, "sync brings nothing", func() bool { return late.seq(a.ID()) == o.Seq })
	p2ptest.Eventually(t, "the offer's reach is not used", func() bool { return c.Peers() == 2 })
}

// separates: nodes of two networks do not stay connected.
func separates(t *testing.T, w p2ptest.World, _ string) {
	a := w.Start(t, p2p.Config{Key: p2ptest.Key(1)})
	b := w.Start(t, p2p.Config{Key: p2ptest.Key(2), Network: "localnet-other"})
	p2ptest.Eventually(t, "nobody refuses the other network", func() bool {
		there, back := b.Connect(t.Context(), a.ID(), a.Addrs()), a.Connect(t.Context(), b.ID(), b.Addrs())
		return there != nil || back != nil // a dial may succeed until identify has run
	})
	p2ptest.Eventually(t, "two networks mix", func() bool { return a.Peers() == 0 && b.Peers() == 0 })
}

// hidesPrivate: a private address is neither announced nor dialled off localnet; on localnet it is both.
func hidesPrivate(t *testing.T, w p2ptest.World, private string) {
	for network, local := range map[string]bool{"devnet": false, p2ptest.Network: true} {
		there := private
		if local {
			there = strings.Replace(private, "10.0.0.1", "10.0.0.2", 1) // the simulated one is taken
		}
		a := w.Start(t, p2p.Config{Network: network, Key: p2ptest.Key(1), Listen: []string{there}})
		b := w.Start(t, p2p.Config{Network: network, Key: p2ptest.Key(2)})
		var at []string
		for _, l := range a.Libp2p().Network().ListenAddresses() {
			if strings.HasPrefix(l.String(), "/ip4/") {
				at = append(at, l.String())
			}
		}
		if got := a.Addrs(); local != slices.Equal(got, at) || !local && len(got) != 0 {
			t.Errorf("%s: listens at %v, announces %v", network, at, got)
		}
		err := b.Connect(t.Context(), a.ID(), at)
		if local && err != nil || !local && market.CodeOf(err) != market.CodePeerUnreachable {
			t.Errorf("%s: dial of %v: %v", network, at, err)
		}
	}
}

// TestHangUp_DeadConnection_IsDialledAnew: a node that was killed and started again elsewhere is asked at once, not
// after the idle time of the connection that it left.
func TestHangUp_DeadConnection_IsDialledAnew(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		start := func() *p2p.Host {
			h := n.Start(t, p2p.Config{Key: p2ptest.Key(1)})
			streams.New(h, streams.Handlers{Quoter: quoter{}},
				slog.New(slog.DiscardHandler))
			return h
		}
		a, b := start(), n.Start(t, p2p.Config{Key: p2ptest.Key(2)})
		s := streams.New(b, streams.Handlers{}, slog.New(slog.DiscardHandler))
		ask := func(h *p2p.Host) error {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := s.Quote(ctx, h.ID(), h.Addrs(), []byte("order"))
			return err
		}
		if err := ask(a); err != nil {
			t.Fatal(err)
		}
		n.Kill(a)
		a = start()
		if ask(a) == nil {
			t.Error("the connection is not dead: this test shows nothing")
		}
		b.HangUp(a.ID())
		if err := ask(a); err != nil {
			t.Error(err)
		}
	})
}
