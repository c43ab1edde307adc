package p2p

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/gpuai/gpuai/market"
)

// Link is a connected peer.
type Link struct {
	ID      market.NodeID
	Addr    string // where it is seen
	Version string // what it announces, "" before it did
	Agent   string
	Inbound bool
	Relayed bool
	Meeting bool // a meeting point of the settings
	Lease   bool // of a live lease, or with a place of its own
	Since   time.Time
	RTT     time.Duration // 0: not measured yet
}

// Links lists the connected peers, oldest connection first; one row for each peer.
func (h *Host) Links() []Link {
	lp := h.Libp2p()
	if lp == nil {
		return nil
	}
	var out []Link
	for _, p := range lp.Network().Peers() {
		id, ok := NodeOf(p)
		conns := lp.Network().ConnsToPeer(p)
		if !ok || len(conns) == 0 {
			continue
		}
		c := best(conns)
		out = append(out, Link{
			ID: id, Addr: c.RemoteMultiaddr().String(), Version: announcedBy(lp.Peerstore().Get(p, "ProtocolVersion")),
			Agent:   announcedBy(lp.Peerstore().Get(p, "AgentVersion")),
			Inbound: c.Stat().Direction == network.DirInbound, Relayed: c.Stat().Limited,
			Meeting: slices.ContainsFunc(h.boot, func(b peer.AddrInfo) bool { return b.ID == p }),
			Lease:   h.keep.leased(p) || h.favours.of(p, time.Now()) == Leased,
			Since:   c.Stat().Opened, RTT: lp.Peerstore().LatencyEWMA(p),
		})
	}
	slices.SortFunc(out, func(a, b Link) int { return a.Since.Compare(b.Since) })
	return out
}

// best is a direct connection if there is one, else the oldest.
func best(conns []network.Conn) network.Conn {
	return slices.MinFunc(conns, func(a, b network.Conn) int {
		if a.Stat().Limited != b.Stat().Limited {
			if a.Stat().Limited {
				return 1
			}
			return -1
		}
		return a.Stat().Opened.Compare(b.Stat().Opened)
	})
}

// announcedBy is a text that a peer wrote of itself, cut to a length that fits a line.
func announcedBy(v any, err error) string {
	text, ok := v.(string)
	if err != nil || !ok {
		return ""
	}
	return clip(text, 64)
}

// Echo is the answer of a peer to Ping.
type Echo struct {
	RTT     time.Duration
	Addr    string
	Relayed bool
}

// Ping connects to a peer unless it is connected and measures the round trip. Errors: *market.Error peer-unreachable;
// ctx.
func (h *Host) Ping(ctx context.Context, id market.NodeID, addrs []string) (Echo, error) {
	if err := h.Connect(ctx, id, addrs); err != nil {
		return Echo{}, err
	}
	p, err := PeerOf(id)
	if err != nil {
		return Echo{}, err // it is connected: this cannot happen
	}
	ctx, cancel := context.WithCancel(network.WithAllowLimitedConn(ctx, "ping"))
	defer cancel()
	lp := h.Libp2p()
	r, ok := <-ping.Ping(ctx, lp, p)
	conns := lp.Network().ConnsToPeer(p)
	if !ok || r.Error != nil || len(conns) == 0 {
		return Echo{}, &market.Error{Code: market.CodePeerUnreachable, Op: "ping " + id.Short(),
			Kind: market.KindUnavailable, Detail: "it is connected and does not answer", Err: r.Error}
	}
	h.measured(p, id)
	c := best(conns)
	return Echo{RTT: r.RTT, Addr: c.RemoteMultiaddr().String(), Relayed: c.Stat().Limited}, nil
}
