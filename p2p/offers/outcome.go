package offers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Bounds of Outcomes. They are few: one for each lease that ends, at most once in seenTTL.
const (
	outcomePeerRate, outcomePeerBurst = 20, 400 // of one forwarder
	outcomeNodeRate, outcomeNodeBurst = 200, 1000
	outcomeRate, outcomeBurst         = 1, 60 // of one signer, its repeats not counted
	maxRecent                         = 1 << 15
	maxUntold                         = 1024
)

// OutcomeAge is how long after its end a lease may still be told.
const OutcomeAge = 24 * time.Hour

// OutcomeSink is what a Sink may have beside: it takes Outcomes that both sides signed, with the two envelopes as they
// were signed. One may come again, also with other envelopes that say the same. Called from one goroutine, not that of
// Offers.
type OutcomeSink interface {
	Outcome(o market.Outcome, provider, customer []byte)
}

// outcomes is a node's part in the topic of Outcomes: it forwards them and keeps none.
type outcomes struct {
	s         *Service
	perPeer   *limiters[peer.ID]
	perNode   *rate.Limiter
	perSigner *limiters[market.NodeID]
	untold    chan wire.Outcomes // what finds no room comes again

	mu      sync.Mutex
	recent  map[[16]byte]time.Time // when a lease came last
	order   [][16]byte             // the same, oldest first
	topic   *pubsub.Topic
	hearers int
	changed chan struct{} // closed and made anew when topic or hearers change
}

func newOutcomes(s *Service) *outcomes {
	return &outcomes{s: s, perPeer: newLimiters[peer.ID](outcomePeerRate, outcomePeerBurst),
		perNode:   rate.NewLimiter(outcomeNodeRate, outcomeNodeBurst),
		perSigner: newLimiters[market.NodeID](outcomeRate, outcomeBurst),
		untold:    make(chan wire.Outcomes, maxUntold), recent: map[[16]byte]time.Time{},
		changed: make(chan struct{})}
}

func outcomesTopic(n p2p.Network) string { return n.Prefix() + "/outcomes/1" }

// PublishOutcome spreads a lease's Outcome as both sides signed it, once a peer is there to hear it; own Sinks get it
// at once. Errors: *market.Error with code "offer-invalid" for what every node refuses; ctx.
func (s *Service) PublishOutcome(ctx context.Context, provider, customer []byte) error {
	raw := wire.PackOutcomes(provider, customer)
	if err := s.outcomes.take(raw, s.now(), s.self); err != nil {
		return &market.Error{Code: market.CodeOfferInvalid, Op: "publish outcome", Kind: market.KindInvalid, Err: err}
	}
	topic, err := s.outcomes.heard(ctx)
	if err != nil {
		return fmt.Errorf("publish outcome: %w", err)
	}
	return topic.Publish(ctx, raw)
}

// heard waits until somebody listens. Errors: ctx's.
func (x *outcomes) heard(ctx context.Context) (*pubsub.Topic, error) {
	for {
		x.mu.Lock()
		topic, n, changed := x.topic, x.hearers, x.changed
		x.mu.Unlock()
		if n > 0 {
			return topic, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// serve forwards until ctx ends.
func (x *outcomes) serve(ctx context.Context, ps *pubsub.PubSub) error {
	topic, events, err := x.s.join(ps, outcomesTopic(x.s.host.Network()), x.gossip)
	if err != nil {
		return err
	}
	leave, err := topic.Relay()
	if err != nil {
		return fmt.Errorf("relay %s: %w", topic, err)
	}
	x.note(topic, 0)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for {
			e, err := events.NextPeerEvent(ctx)
			if err != nil {
				return stopped(ctx, err)
			}
			if e.Type == pubsub.PeerJoin {
				x.note(topic, 1)
			} else {
				x.note(topic, -1)
			}
		}
	})
	err = g.Wait()
	leave()
	events.Cancel()
	_ = topic.Close() // it fails where gossip as a whole has ended
	return err
}

func (x *outcomes) note(topic *pubsub.Topic, more int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.topic = topic
	x.hearers += more
	close(x.changed)
	x.changed = make(chan struct{})
}

// tell gives the Sinks what has come until ctx ends.
func (x *outcomes) tell(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-x.untold:
			x.s.mu.Lock()
			sinks := x.s.sinks
			x.s.mu.Unlock()
			for _, sink := range sinks {
				if o, ok := sink.(OutcomeSink); ok {
					o.Outcome(p.Outcome, p.Provider, p.Customer)
				}
			}
		}
	}
}

// gossip is the topic's validator. What an own node publishes was taken before.
func (x *outcomes) gossip(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	if from == x.s.self {
		return pubsub.ValidationAccept
	}
	now := x.s.now()
	if len(m.Data) > wire.MaxOutcomes { // what is too large is nobody's quota
		x.s.violation(from, fmt.Errorf("%w: %d bytes", errBad, len(m.Data)))
		return pubsub.ValidationReject
	}
	if !x.perPeer.allow(from, now) || !x.perNode.AllowN(now, 1) {
		return pubsub.ValidationIgnore
	}
	err := x.take(m.Data, now, from)
	switch {
	case err == nil:
		return pubsub.ValidationAccept
	case errors.Is(err, errBad):
		x.s.violation(from, err)
		return pubsub.ValidationReject
	}
	return pubsub.ValidationIgnore
}

// take checks an Outcome by cost and passes a good one on. Errors: errBad, wire.ErrNewer, errClock, errOld, errLimited.
func (x *outcomes) take(raw []byte, now time.Time, from peer.ID) error {
	p, err := wire.ReadOutcomes(raw, x.s.network)
	if errors.Is(err, wire.ErrNewer) {
		return err
	}
	if err != nil {
		return errors.Join(errBad, err)
	}
	if age := now.Sub(p.Outcome.Ended); age > OutcomeAge || age < -futureSkew {
		return errClock
	}
	key, own := leaseKey(p.Outcome), from == x.s.self
	if !own && x.came(key, now) {
		return errOld
	}
	if err := p.Verify(x.s.network); err != nil {
		return errors.Join(errBad, err)
	}
	if d := p.Outcome.Deal; !own && (!x.perSigner.allow(d.Provider, now) || !x.perSigner.allow(d.Customer, now)) {
		return errLimited
	}
	if x.enter(key, now) && !own {
		return errOld // it came twice at once
	}
	select {
	case x.untold <- p:
	default:
		x.s.host.Tally(p2p.CountUndeliverable, "", 1)
	}
	return nil
}

// leaseKey names a lease by its two sides, too: an id alone can be copied by others for a pair of their own.
func leaseKey(o market.Outcome) (key [16]byte) {
	h := sha256.New()
	for _, b := range [][]byte{o.Lease[:], o.Deal.Provider[:], o.Deal.Customer[:]} {
		h.Write(b)
	}
	copy(key[:], h.Sum(nil))
	return key
}

// came reports whether a lease has come within seenTTL.
func (x *outcomes) came(key [16]byte, now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, ok := x.recent[key]
	return ok && now.Sub(at) < seenTTL
}

// enter notes a lease and reports whether it had come; the oldest make room.
func (x *outcomes) enter(key [16]byte, now time.Time) (came bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.order) > 0 && (len(x.order) >= maxRecent || now.Sub(x.recent[x.order[0]]) >= seenTTL) {
		delete(x.recent, x.order[0])
		x.order = x.order[1:]
	}
	if _, came = x.recent[key]; !came {
		x.recent[key] = now
		x.order = append(x.order, key)
	}
	return came
}
