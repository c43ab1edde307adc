package customer

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
)

// What one provider is asked: a little less than it takes of one peer (p2p/streams: 5 quotes a second after 20, 20
// messages about leases after 100; p2p: 8 streams of a kind at once), so that forty orders at once are slow, never
// refused.
const (
	quotesPerSec, quotesBurst, quotesAtOnce = 4, 15, 4
	leasesPerSec, leasesBurst, leasesAtOnce = 15, 60, 6
)

// quietFor is how long a provider must have said nothing before its connection is taken for dead: others may be served
// on it.
const quietFor = 2 * time.Second

// maxPaced bounds the table; above it the providers that are not asked now are forgotten.
const maxPaced = 1024

// paced is a Net that asks each provider no faster, and no more at once, than it answers. Safe for any goroutine.
type paced struct {
	Net
	replies replies
	mu      sync.Mutex
	peers   map[market.NodeID]*peerPace
}

type peerPace struct {
	quotes, leases gate
	users          int
	heard          time.Time // its last answer
}

// gate lets a number in at once, at a rate.
type gate struct {
	slots chan struct{}
	rate  *rate.Limiter
}

func newGate(perSec rate.Limit, burst, atOnce int) gate {
	return gate{make(chan struct{}, atOnce), rate.NewLimiter(perSec, burst)}
}

// enter waits for a place and a turn. Error: ctx's.
func (g *gate) enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := g.rate.Wait(ctx); err != nil {
		<-g.slots
		return errors.Join(ctx.Err(), err)
	}
	return nil
}

func newPaced(n Net) *paced { return &paced{Net: n, peers: map[market.NodeID]*peerPace{}} }

func (n *paced) peer(id market.NodeID) *peerPace {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[id]
	if p == nil {
		if len(n.peers) >= maxPaced {
			for k, old := range n.peers {
				if old.users == 0 {
					delete(n.peers, k)
				}
			}
		}
		p = &peerPace{quotes: newGate(quotesPerSec, quotesBurst, quotesAtOnce),
			leases: newGate(leasesPerSec, leasesBurst, leasesAtOnce)}
		n.peers[id] = p
	}
	p.users++
	return p
}

// turn waits until the provider may be asked for a quote; leave ends it. Error: ctx's.
func (n *paced) turn(ctx context.Context, to market.NodeID) (leave func(), err error) {
	p := n.peer(to)
	return n.enter(ctx, p, &p.quotes)
}

func (n *paced) enter(ctx context.Context, p *peerPace, g *gate) (leave func(), err error) {
	done := func() {
		n.mu.Lock()
		p.users--
		n.mu.Unlock()
	}
	if err := g.enter(ctx); err != nil {
		done()
		return nil, err
	}
	return func() { <-g.slots; done() }, nil
}

// hear notes an answer of a provider; a Refusal is one.
func (n *paced) hear(id market.NodeID, err error) {
	var refusal *market.Refusal
	if err != nil && !errors.As(err, &refusal) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[id]; p != nil {
		p.heard = time.Now()
	}
}

// HangUp drops the connection to a provider that has said nothing for a while: it may be dead. Else others are served
// on it.
func (n *paced) HangUp(id market.NodeID) {
	n.mu.Lock()
	p := n.peers[id]
	lives := p != nil && time.Since(p.heard) < quietFor
	n.mu.Unlock()
	if !lives {
		n.Net.HangUp(id)
	}
}

// Quote is asked within a turn; a provider that has replied to a Want is asked on its own stream.
func (n *paced) Quote(ctx context.Context, to market.NodeID, reach []string, order []byte) ([]byte, error) {
	var b []byte
	var err error
	if r := n.replies.take(to); r != nil {
		b, err = r.ask(ctx, order)
	} else {
		b, err = n.Net.Quote(ctx, to, reach, order)
	}
	n.hear(to, err)
	return b, err
}

// leased runs one exchange about a lease in its turn.
func (n *paced) leased(ctx context.Context, to market.NodeID, f func() error) error {
	p := n.peer(to)
	leave, err := n.enter(ctx, p, &p.leases)
	if err != nil {
		return err
	}
	defer leave()
	err = f()
	n.hear(to, err)
	return err
}

func (n *paced) Propose(ctx context.Context, to market.NodeID, lease []byte) error {
	return n.leased(ctx, to, func() error { return n.Net.Propose(ctx, to, lease) })
}

func (n *paced) Status(ctx context.Context, to market.NodeID, id market.LeaseID) (s market.Status, err error) {
	err = n.leased(ctx, to, func() (err error) { s, err = n.Net.Status(ctx, to, id); return err })
	return s, err
}

func (n *paced) Stop(ctx context.Context, to market.NodeID, stop []byte) error {
	return n.leased(ctx, to, func() error { return n.Net.Stop(ctx, to, stop) })
}

func (n *paced) Outcome(ctx context.Context, to market.NodeID, outcome []byte) (b []byte, err error) {
	err = n.leased(ctx, to, func() (err error) { b, err = n.Net.Outcome(ctx, to, outcome); return err })
	return b, err
}
