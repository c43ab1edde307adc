package p2p

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
)

const (
	measureTime   = 5 * time.Second
	measureAtOnce = 8
	maxUnmeasured = 256 // connections; of those beyond it the round trip is not known until somebody asks
)

// rtts are who wants to know round trips, and the connections whose is to be measured.
type rtts struct {
	due chan peer.ID

	mu   sync.Mutex
	tell []func(id market.NodeID, rtt time.Duration)
}

// OnRTT tells f the round trip of each peer that this node connects to, and of each that is measured later. f must not
// wait.
func (h *Host) OnRTT(f func(id market.NodeID, rtt time.Duration)) {
	h.rtts.mu.Lock()
	h.rtts.tell = append(h.rtts.tell, f)
	h.rtts.mu.Unlock()
	if lp := h.Libp2p(); lp != nil {
		for _, p := range lp.Network().Peers() {
			h.measureSoon(p)
		}
	}
}

// measureSoon has the round trip of a new connection measured, if anybody wants to know it.
func (h *Host) measureSoon(p peer.ID) {
	h.rtts.mu.Lock()
	defer h.rtts.mu.Unlock()
	if len(h.rtts.tell) == 0 {
		return
	}
	select {
	case h.rtts.due <- p:
	default: // plenty are
	}
}

// measure pings new connections, one ping for each, until ctx ends.
func (h *Host) measure(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(measureAtOnce)
	defer func() { _ = g.Wait() }() // pings end with ctx and return nil
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-h.rtts.due:
			id, ok := NodeOf(p)
			if !ok || !h.Connected(p) {
				continue
			}
			g.Go(func() error {
				pctx, cancel := context.WithTimeout(ctx, measureTime)
				defer cancel()
				if _, err := h.Ping(pctx, id, nil); err != nil {
					h.log.Debug("round trip was not measured", "peer", id, "err", err)
				}
				return nil
			})
		}
	}
}

// measured tells a round trip, smoothed over those of before.
func (h *Host) measured(p peer.ID, id market.NodeID) {
	rtt := h.Libp2p().Peerstore().LatencyEWMA(p)
	h.rtts.mu.Lock()
	tell := h.rtts.tell
	h.rtts.mu.Unlock()
	for _, f := range tell {
		f(id, rtt)
	}
}
