package p2p

import (
	"context"
	"time"

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

// PeerStore keeps the peer book. Called from one goroutine: at start, every 60 s, at stop. Its failures are logged and retried.
type PeerStore interface {
	Peers(ctx context.Context) ([]PeerRecord, error)                             // ≤ 500, newest good first
	SavePeers(ctx context.Context, put []PeerRecord, drop []market.NodeID) error // ≤ 256 each
}
