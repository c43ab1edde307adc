package streams

import (
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

// limiter is a token bucket per peer. It forgets peers whose bucket is full again.
type limiter struct {
	rate, burst float64
	mu          sync.Mutex
	peers       map[market.NodeID]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxBuckets bounds the table; beyond it everybody starts anew, which costs an attacker more keys than it gives requests.
const maxBuckets = 4096

func newLimiter(rate, burst float64) *limiter {
	return &limiter{rate: rate, burst: burst, peers: map[market.NodeID]bucket{}}
}

// take reports whether the peer may go on now.
func (l *limiter) take(id market.NodeID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.peers[id]
	if !ok {
		if len(l.peers) >= maxBuckets {
			clear(l.peers)
		}
		b = bucket{l.burst, now}
	}
	b.tokens = min(l.burst, b.tokens+l.rate*now.Sub(b.at).Seconds())
	b.at = now
	defer func() { l.peers[id] = b }()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
