package p2p

import (
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

// limiter is a token bucket per peer and one for all peers together. A peer over its own rate costs the others nothing.
type limiter struct {
	rate, burst float64
	all         float64 // per second and as burst; 0: no common limit
	mu          sync.Mutex
	peers       map[market.NodeID]bucket
	common      bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// take refills the bucket and takes one token if there is one.
func (b *bucket) take(rate, burst float64, now time.Time) bool {
	if d := now.Sub(b.at); d > 0 {
		b.tokens, b.at = min(burst, b.tokens+rate*d.Seconds()), now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// maxBuckets bounds the table. When it is full, the full buckets go: their peers lose nothing. If all are in use,
// everybody starts anew, which costs an attacker more keys than it gives requests: the common bucket holds.
const maxBuckets = 4096

func newLimiter(rate, burst, all float64) *limiter {
	return &limiter{rate: rate, burst: burst, all: all, peers: map[market.NodeID]bucket{}, common: bucket{tokens: all}}
}

// take reports whether the peer may go on now.
func (l *limiter) take(id market.NodeID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.peers[id]
	if !ok {
		l.makeRoom(now)
		b = bucket{l.burst, now}
	}
	may := b.take(l.rate, l.burst, now)
	l.peers[id] = b
	return may && (l.all == 0 || l.common.take(l.all, l.all, now))
}

func (l *limiter) makeRoom(now time.Time) {
	if len(l.peers) < maxBuckets {
		return
	}
	for id, b := range l.peers {
		if b.tokens+l.rate*now.Sub(b.at).Seconds() >= l.burst {
			delete(l.peers, id)
		}
	}
	if len(l.peers) >= maxBuckets {
		clear(l.peers)
	}
}
