package p2p

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	relayproto "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

const dialTimeout = 10 * time.Second

func (h *Host) assemble(key crypto.PrivKey, limits network.ResourceManager) ([]libp2p.Option, error) {
	conns, err := connmgr.NewConnManager(h.profile.low, h.profile.high, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		return nil, fmt.Errorf("start libp2p host: %w", err)
	}
	opts := []libp2p.Option{
		libp2p.Identity(key), libp2p.ListenAddrStrings(h.listen()...), libp2p.Transport(quic.NewTransport),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.ConnectionManager(conns), libp2p.ResourceManager(limits), libp2p.ConnectionGater(h.gate),
		libp2p.ProtocolVersion(h.net.Version()), libp2p.UserAgent("gpuai"),
		libp2p.SwarmOpts(swarm.WithDialTimeout(dialTimeout), swarm.WithMetricsTracer(dials{h}),
			swarm.WithDialRanker(lanFirst)),
		libp2p.BandwidthReporter(meter{&h.tally}),
		libp2p.AddrsFactory(h.announced),
		libp2p.EnableNATService(),
	}
	if !h.net.Private { // a local network has no public address, which hole punching looks for every 5 s
		opts = append(opts, libp2p.NonPublicAddrPublishing(false), libp2p.EnableAutoNATv2(),
			libp2p.EnableHolePunching(holepunch.WithTracer(punches{h})))
	}
	if h.cfg.Infra || h.net.Private {
		opts = append(opts, libp2p.ForceReachabilityPublic())
	} else {
		opts = append(opts, libp2p.EnableAutoRelayWithPeerSource(h.relays,
			autorelay.WithNumRelays(maxRelays), autorelay.WithMinCandidates(1), autorelay.WithBootDelay(15*time.Second),
			autorelay.WithMinInterval(30*time.Second)))
		if h.profile == profileRig {
			opts = append(opts, h.mapPorts())
		}
	}
	if h.cfg.Infra {
		opts = append(opts, libp2p.EnableRelayService(relay.WithResources(h.relayResources())))
	}
	return append(append(opts, libp2p.DisableMetrics()), h.cfg.Options...), nil // it is counted by Host.Tally
}

func (h *Host) listen() []string {
	if len(h.cfg.Listen) > 0 {
		return h.cfg.Listen
	}
	port := h.net.Port
	if port == 0 || h.profile == profileLight {
		port = h.cfg.Port
	}
	var out []string
	for _, ip := range []string{"/ip4/0.0.0.0", "/ip6/::"} {
		out = append(out, fmt.Sprintf("%s/udp/%d/quic-v1", ip, port), fmt.Sprintf("%s/tcp/%d", ip, port))
	}
	return out
}

// relayResources lets a voucher stream live through a relay: libp2p's default of 2 minutes and 128 KiB cuts it.
func (h *Host) relayResources() relay.Resources {
	r := relay.DefaultResources()
	r.Limit = &relay.RelayLimit{Duration: cmp.Or(h.cfg.RelayTime, 30*time.Minute),
		Data: cmp.Or(h.cfg.RelayData, 4<<20)}
	r.ReservationTTL = time.Hour
	r.MaxReservations = 256
	r.MaxCircuits = 16
	r.MaxReservationsPerIP = 8
	return r
}

// relays feeds AutoRelay with connected peers that relay, then bootstrap nodes.
func (h *Host) relays(ctx context.Context, num int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo, num)
	defer close(out)
	lp := h.Libp2p()
	if lp == nil {
		return out
	}
	seen := map[peer.ID]bool{}
	add := func(info peer.AddrInfo) {
		if len(seen) < num && !seen[info.ID] && len(info.Addrs) > 0 && ctx.Err() == nil {
			seen[info.ID] = true
			out <- info // its buffer holds num
		}
	}
	for _, p := range lp.Network().Peers() {
		if has, err := lp.Peerstore().SupportsProtocols(p, relayproto.ProtoIDv2Hop); err == nil && len(has) > 0 {
			add(lp.Peerstore().PeerInfo(p))
		}
	}
	for _, b := range h.boot {
		add(b)
	}
	return out
}
