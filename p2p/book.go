package p2p

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/gpuai/gpuai/market"
)

// Limits of the peer book.
const (
	maxBook      = 500
	maxPeerAddrs = 8
	maxAddrBytes = 128
	maxSave      = 256
)

// PeerRecord is what is remembered of a peer. Addrs come from signed sources only.
type PeerRecord struct {
	ID                            market.NodeID
	Addrs                         []string // ≤ 8 of ≤ 128 bytes
	LastSeen, LastOK, BannedUntil time.Time
	Fails                         uint8
	Roles                         []string
	BanReason                     string
}

// PeerStore keeps the peer book. Called from one goroutine: at start, every 60 s, at stop. Its failures are logged and
// retried.
type PeerStore interface {
	Peers(ctx context.Context) ([]PeerRecord, error)                             // ≤ 500, newest good first
	SavePeers(ctx context.Context, put []PeerRecord, drop []market.NodeID) error // ≤ 256 each
}

// evict keeps the book at its size: most fails first, then oldest.
func (k *upkeep) evict() {
	for len(k.peers) > maxBook {
		var worst peer.ID
		for p, e := range k.peers {
			if e.boot || e.lease || e.busy {
				continue
			}
			w := k.peers[worst]
			if w == nil || e.rec.Fails > w.rec.Fails || e.rec.Fails == w.rec.Fails &&
				e.rec.LastSeen.Before(w.rec.LastSeen) {
				worst = p
			}
		}
		if worst == "" {
			return
		}
		if len(k.drop) < maxSave {
			k.drop = append(k.drop, k.peers[worst].rec.ID)
		}
		delete(k.peers, worst)
	}
}

func (k *upkeep) load(ctx context.Context) {
	if k.h.store == nil {
		return
	}
	recs, err := k.h.store.Peers(ctx)
	if err != nil {
		k.h.log.Warn("read peer book", "err", err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range recs[:min(len(recs), maxBook)] {
		p, err := PeerOf(r.ID)
		if err != nil || p == k.h.self {
			continue
		}
		e := k.get(p)
		e.rec = r
		if len(e.addrs) == 0 {
			e.addrs = parseAddrs(r.Addrs, maxPeerAddrs)
		}
		if time.Now().Before(r.BannedUntil) {
			k.h.gate.ban(p, r.BannedUntil)
		}
	}
}

func (k *upkeep) save(ctx context.Context) {
	if k.h.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	k.mu.Lock()
	var put []PeerRecord
	var saved []*entry
	for _, e := range k.peers {
		if !e.dirty || len(put) == maxSave || e.rec.ID == (market.NodeID{}) {
			continue
		}
		r := e.rec
		r.Addrs = nil
		for _, a := range e.addrs {
			r.Addrs = append(r.Addrs, a.String())
		}
		put, saved = append(put, r), append(saved, e)
		e.dirty = false
	}
	drop := k.drop
	k.drop = nil
	k.mu.Unlock()
	if len(put) == 0 && len(drop) == 0 {
		return
	}
	if err := k.h.store.SavePeers(ctx, put, drop); err != nil {
		k.h.log.Warn("save peer book", "err", err)
		k.mu.Lock()
		for _, e := range saved {
			e.dirty = true
		}
		k.mu.Unlock()
	}
}
