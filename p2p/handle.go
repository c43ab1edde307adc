package p2p

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	multistream "github.com/multiformats/go-multistream"

	"github.com/gpuai/gpuai/market"
)

// Limits bound the streams that others open of one protocol. A peer over its own rate costs the others nothing.
type Limits struct {
	Rate, Burst float64 // streams of one peer: per second, and at once
	All         float64 // streams of all peers together: per second, and at once; 0: no such bound
	Memory      int     // bytes that one stream may hold
}

// streamMajor is the version of all stream protocols.
const streamMajor = 1

// Bounds of one dial of Open: an Offer must not aim us at a victim.
const (
	connectTime = 3 * time.Second
	maxReach    = 4
)

// Handle serves a protocol of the host's network, from now on if the host runs, else from its start. f is called in the
// goroutine of each stream within the limits, with the node that opened it; streams above them are reset. A second
// Handle of the same name takes the place of the first.
func (h *Host) Handle(name string, l Limits, f func(from market.NodeID, st network.Stream)) {
	bound := newLimiter(l.Rate, l.Burst, l.All)
	handler := func(st network.Stream) {
		from, ok := NodeOf(st.Conn().RemotePeer())
		if !ok || !bound.take(from, time.Now()) {
			h.Tally(CountRefusals, string(market.CodeRateLimited), 1)
			_ = st.ResetWithError(network.StreamRateLimited) // or not an Ed25519 peer
			return
		}
		// The stream's scope gives the memory back when the stream ends.
		if err := st.Scope().ReserveMemory(l.Memory, network.ReservationPriorityAlways); err != nil {
			h.Tally(CountRefusals, string(market.CodeBusy), 1)
			_ = st.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		f(from, h.circuits.count(st))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers[name] = handler
	if h.host != nil {
		h.host.SetStreamHandler(h.net.Protocol(name, streamMajor), handler)
	}
}

// stream opens a stream to a peer: of several circuits on the newest, since the others are about to end.
func (h *Host) stream(ctx context.Context, p peer.ID, id protocol.ID) (network.Stream, error) {
	lp := h.Libp2p()
	conns := lp.Network().ConnsToPeer(p)
	c := newest(conns)
	if len(conns) < 2 || c == nil || !c.Stat().Limited {
		return lp.NewStream(ctx, p, id)
	}
	st, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	err = st.SetProtocol(id)
	if until, ok := ctx.Deadline(); ok && err == nil {
		err = st.SetDeadline(until)
	}
	if err == nil {
		_, err = multistream.SelectOneOf([]protocol.ID{id}, st)
	}
	if err == nil {
		err = st.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = st.Reset()
		return nil, err
	}
	return st, nil
}

// Open opens a stream of a protocol to a node. It dials the reach, the first addresses of the node's own Offer, unless
// the two are connected. A relayed connection is enough. Errors: unreachable.
func (h *Host) Open(ctx context.Context, to market.NodeID, reach []string, name string) (network.Stream, error) {
	lp := h.Libp2p()
	if lp == nil {
		return nil, errNotUp
	}
	id, err := PeerOf(to)
	if err != nil {
		return nil, err
	}
	ctx = network.WithAllowLimitedConn(ctx, name)
	if len(reach) > 0 {
		dctx, cancel := context.WithTimeout(ctx, connectTime)
		addrs := parseAddrs(reach[:min(len(reach), maxReach)], maxReach)
		err := lp.Connect(dctx, peer.AddrInfo{ID: id, Addrs: addrs}) // at once when connected
		cancel()
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
	}
	st, err := h.stream(ctx, id, h.net.Protocol(name, streamMajor))
	if err != nil {
		return nil, err
	}
	return h.circuits.count(st), nil
}
