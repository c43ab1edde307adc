package p2p

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/gpuai/gpuai/market"
)

// Favour is why a peer finds a place where a stranger does not.
type Favour int

// Favours, the greater wins.
const (
	Stranger Favour = iota
	Quoted          // its Quote was answered
	Leased          // it pays for a lease
)

const (
	maxFavours = 1024
	settleTime = 10 * time.Second // in which a new stranger is left alone
)

type favour struct {
	of    Favour
	until time.Time
}

type favours struct {
	mu sync.Mutex
	m  map[peer.ID]favour
}

func (f *favours) of(p peer.ID, now time.Time) Favour {
	f.mu.Lock()
	defer f.mu.Unlock()
	if row, ok := f.m[p]; ok && now.Before(row.until) {
		return row.of
	}
	return Stranger
}

// add keeps the greater favour; when the table is full, a random row of no greater one makes room.
func (f *favours) add(p peer.ID, of Favour, until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, ok := f.m[p]; ok && old.of > of && time.Now().Before(old.until) {
		return
	}
	if _, ok := f.m[p]; !ok && len(f.m) >= maxFavours {
		for old, row := range f.m {
			if row.of <= of {
				delete(f.m, old)
				break
			}
		}
	}
	if len(f.m) < maxFavours {
		f.m[p] = favour{of, until}
	}
}

// Favour lets a peer connect until then also when strangers fill the node. Idempotent.
func (h *Host) Favour(id market.NodeID, of Favour, until time.Time) {
	if p, err := PeerOf(id); err == nil {
		h.favours.add(p, of, until)
	}
}

// admit decides about an inbound connection, once its peer is known. Strangers may take two thirds of a node's inbound
// slots; a sixth more is for peers with an answered Quote, the rest for those with a lease. A stranger who comes when
// the first part is full takes the place of another one at random: whoever holds many slots loses as many.
func (h *Host) admit(p peer.ID, now time.Time) bool {
	if h.cfg.Infra {
		return true // the connection manager makes room
	}
	lp := h.Libp2p()
	if lp == nil {
		return true
	}
	of, limit := h.favours.of(p, now), h.profile.inbound
	if h.keep.leased(p) {
		of = Leased
	}
	if of == Leased {
		return true
	}
	var strangers []network.Conn
	inbound := 0
	for _, c := range lp.Network().Conns() {
		if c.Stat().Direction != network.DirInbound {
			continue
		}
		inbound++
		q := c.RemotePeer()
		if h.favours.of(q, now) == Stranger && !h.keep.leased(q) && now.Sub(c.Stat().Opened) > settleTime {
			strangers = append(strangers, c)
		}
	}
	switch {
	case inbound < limit*2/3, of == Quoted && inbound < limit*5/6:
		return true
	case len(strangers) == 0 || inbound >= limit*5/6:
		return false
	}
	select {
	case h.keep.surplus <- strangers[rand.IntN(len(strangers))]: // closed elsewhere: the swarm waits for this answer
	default:
	}
	return true
}
