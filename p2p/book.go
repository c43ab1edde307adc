package p2p

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
)

// Limits of the peer book.
const (
	maxTried     = 400 // peers that were connected once
	maxNew       = 100 // heard of only
	maxGroup     = 32  // tried peers of one /16, or /32 of IPv6
	maxSameAddr  = 2   // new peers that name one IP
	maxPeerAddrs = 8
	maxAddrBytes = 128
	maxSave      = 256
)

// PeerRecord is what is remembered of a peer. Addrs come from signed sources only.
type PeerRecord struct {
	ID          market.NodeID `json:"ID"`
	Addrs       []string      `json:"Addrs"` // ≤ 8 of ≤ 128 bytes
	LastOK      time.Time     `json:"LastOK"`
	BannedUntil time.Time     `json:"BannedUntil"`
	Fails       uint8         `json:"Fails"`
	Roles       []string      `json:"Roles"`
	BanReason   string        `json:"BanReason"`
	Anchor      bool          `json:"Anchor,omitempty"` // dialled first after a start
}

// PeerStore keeps the peer book. Called from one goroutine: at start, every 60 s, at stop. Its failures are logged and
// retried.
type PeerStore interface {
	Peers(ctx context.Context) ([]PeerRecord, error)                             // ≤ 500, newest good first
	SavePeers(ctx context.Context, put []PeerRecord, drop []market.NodeID) error // ≤ 256 each
}

// tried reports whether a peer was ever connected: only such ones are worth keeping for the next start.
func (e *entry) tried() bool { return !e.rec.LastOK.IsZero() }

// evict keeps the book at its size. Peers that were only heard of have a table of their own, in which a random one
// makes room: whoever makes up thousands drives out their like, and no peer that was ever connected. Of these the one
// with the most fails goes first, then the oldest; a crowded network loses its own.
func (k *upkeep) evict() {
	var tried, heard []peer.ID
	groups := map[netip.Prefix]int{}
	for p, e := range k.peers {
		switch {
		case e.boot || e.lease || e.busy || k.h.Connected(p):
		case e.tried():
			tried = append(tried, p)
			groups[e.group()]++
		default:
			heard = append(heard, p)
		}
	}
	for _, i := range rand.Perm(len(heard))[:max(len(heard)-maxNew, 0)] {
		delete(k.peers, heard[i]) // it was never stored
	}
	if len(tried) <= maxTried && len(tried) <= maxGroup {
		return
	}
	slices.SortFunc(tried, func(a, b peer.ID) int {
		x, y := k.peers[a].rec, k.peers[b].rec
		return cmp.Or(cmp.Compare(y.Fails, x.Fails), x.LastOK.Compare(y.LastOK))
	})
	left := len(tried)
	for _, p := range tried {
		g := k.peers[p].group()
		crowded := !k.h.net.Private && g.IsValid() && groups[g] > maxGroup
		if left <= maxTried && !crowded {
			continue
		}
		if len(k.drop) < maxSave {
			k.drop = append(k.drop, k.peers[p].rec.ID)
		}
		delete(k.peers, p)
		groups[g]--
		left--
	}
}

func (e *entry) group() netip.Prefix {
	for _, a := range e.addrs {
		if ip, ok := ipOf(a); ok {
			return groupOf(ip)
		}
	}
	return netip.Prefix{}
}

// sameAddr counts the peers that were only heard of and name the IP of one of addrs.
func (k *upkeep) sameAddr(addrs []ma.Multiaddr) int {
	n := 0
	for _, e := range k.peers {
		if !e.tried() && slices.ContainsFunc(e.addrs, func(a ma.Multiaddr) bool {
			x, ok := ipOf(a)
			return ok && slices.ContainsFunc(addrs, func(b ma.Multiaddr) bool { y, ok := ipOf(b); return ok && x == y })
		}) {
			n++
		}
	}
	return n
}

// banned remembers a ban beyond the next start.
func (k *upkeep) banned(p peer.ID, until time.Time, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.get(p)
	e.rec.BannedUntil, e.rec.BanReason, e.dirty = until, clip(reason, 256), true
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
	for _, r := range recs[:min(len(recs), maxTried+maxNew)] {
		p, err := PeerOf(r.ID)
		if err != nil || p == k.h.self {
			continue
		}
		e := k.get(p)
		e.rec, e.anchor = r, r.Anchor
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
		if !e.dirty || !e.tried() && e.rec.BannedUntil.IsZero() || len(put) == maxSave ||
			e.rec.ID == (market.NodeID{}) {
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
