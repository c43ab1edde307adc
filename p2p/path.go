package p2p

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
)

// punchTime is how long a relayed connection has to become a direct one before it is taken for relayed.
const punchTime = 5 * time.Second

// Relayed connects to a peer unless it is connected and reports whether it is reached over a relay only. A relayed
// connection that is younger than punchTime is given the rest of it to become direct. Errors: *market.Error
// peer-unreachable; ctx.
func (h *Host) Relayed(ctx context.Context, id market.NodeID, reach []string) (bool, error) {
	if err := h.Connect(ctx, id, reach[:min(len(reach), maxReach)]); err != nil {
		return false, err
	}
	p, err := PeerOf(id)
	if err != nil {
		return false, err // it is connected: this cannot happen
	}
	lp := h.Libp2p()
	sub, err := lp.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged))
	if err != nil {
		return false, err
	}
	defer func() { _ = sub.Close() }() // only closes a channel that nobody reads any more
	first := oldest(lp.Network().ConnsToPeer(p))
	if lp.Network().Connectedness(p) != network.Limited {
		return false, nil
	}
	punching, cancel := context.WithTimeout(ctx, h.punchesFor(first))
	defer cancel()
	for {
		select {
		case e, ok := <-sub.Out():
			if ev, is := e.(event.EvtPeerConnectednessChanged); !ok || is && ev.Peer == p &&
				ev.Connectedness == network.Connected {
				return false, nil
			}
		case <-punching.Done():
			return lp.Network().Connectedness(p) != network.Connected, ctx.Err()
		}
	}
}

// punchesFor is how long a peer whose connections began then may still become direct.
func (h *Host) punchesFor(began time.Time) time.Duration {
	if h.net.Private { // nobody punches there
		return 0
	}
	return max(time.Until(began.Add(punchTime)), 0)
}

// oldest is when the first of a peer's connections was opened.
func oldest(conns []network.Conn) (t time.Time) {
	for _, c := range conns {
		if at := c.Stat().Opened; t.IsZero() || at.Before(t) {
			t = at
		}
	}
	return t
}

// ByRelay reports whether an address leads over a relay; one that cannot be read does not.
func ByRelay(addr string) bool {
	a := parseAddrs([]string{addr}, 1)
	return len(a) == 1 && relayed(a[0])
}
