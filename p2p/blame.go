package p2p

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/gpuai/gpuai/market"
)

// Bounds of blame.
const (
	banAfter    = 5 // violations within blameWindow
	blameWindow = time.Hour
	banFirst    = time.Hour // doubled with each further ban, up to banMax
	banMax      = 24 * time.Hour
	maxBlamed   = 4096
)

// blame counts what only a broken or hostile peer sends, whatever part of the node has met it.
type blame struct {
	mu    sync.Mutex
	peers map[peer.ID]*blamed
}

type blamed struct {
	since time.Time // of the first violation that counts
	count int
	bans  int // that it had from this node since its start
}

// add counts a violation and returns how long the peer is banned for it; zero: not yet.
func (b *blame) add(p peer.ID, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	row := b.peers[p]
	if row == nil {
		b.makeRoom(now)
		row = &blamed{since: now}
		b.peers[p] = row
	}
	if now.Sub(row.since) > blameWindow {
		row.since, row.count = now, 0
	}
	if row.count++; row.count < banAfter {
		return 0
	}
	row.count = 0
	row.bans++
	return min(banFirst<<min(row.bans-1, 5), banMax)
}

// makeRoom forgets those whose violations no longer count, then all: forgetting is cheaper than growing, and bans stay.
func (b *blame) makeRoom(now time.Time) {
	if len(b.peers) < maxBlamed {
		return
	}
	for p, row := range b.peers {
		if now.Sub(row.since) > blameWindow {
			delete(b.peers, p)
		}
	}
	if len(b.peers) >= maxBlamed {
		clear(b.peers)
	}
}

func (b *blame) count(p peer.ID, now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if row := b.peers[p]; row != nil && now.Sub(row.since) <= blameWindow {
		return row.count
	}
	return 0
}

// Blame counts a violation: what no version of this program sends. Five within an hour ban the peer, for an hour first
// and twice as long each further time, up to a day. It is the one place where peers are judged. Errors of rates, clocks
// and versions are none.
func (h *Host) Blame(id market.NodeID, cause error) {
	p, err := PeerOf(id)
	if err != nil || p == h.self {
		return
	}
	now := time.Now()
	h.log.Debug("peer broke a rule", "peer", id, "err", cause)
	if d := h.blame.add(p, now); d > 0 {
		h.Ban(id, now.Add(d), cause.Error())
	}
}

// Blamed is the number of violations of a peer that count now.
func (h *Host) Blamed(p peer.ID) int { return h.blame.count(p, time.Now()) }
