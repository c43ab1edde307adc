package offers

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

const (
	seenTTL    = 10 * time.Minute
	maxMessage = 8 << 10
	maxControl = 64 << 10
	maxTopics  = 2*wire.MaxShards + 8 // of one peer: an epoch and the one before
)

// Sink takes verified Offers, also withdrawals (no Groups). Whenever a Sink is attached, all are given what is held, so
// one may get an Offer that it has; else each is newer than the last of its provider. Called from one
// goroutine.
type Sink interface {
	Offer(o market.Offer, raw []byte)
}

// Follower is a Sink that keeps what it gets. Gone: nothing is held of a signer any more, to make room for others; it
// may never have been given.
type Follower interface {
	Sink
	Gone(signer market.NodeID)
}

// Service gossips and syncs the Offers and Wants of one network.
type Service struct {
	host    *p2p.Host
	log     *slog.Logger
	network string
	epochs  []wire.Epoch // all that are compiled in, oldest first
	now     func() time.Time
	self    peer.ID

	set      *set
	queue    *queue[market.NodeID]
	wants    *wants
	bids     *queue[wantKey]
	outcomes *outcomes
	perPeer  *limiters[peer.ID]
	newcomer *limiters[peer.ID] // first Offers of unknown signers, by who forwards them
	perNode  *rate.Limiter
	syncPeer *limiters[peer.ID]
	syncNode *rate.Limiter
	syncOut  *rate.Limiter // bytes of documents sent
	perBack  *limiters[peer.ID]
	wake     chan struct{} // what is held may change

	mu      sync.Mutex
	sinks   []Sink
	places  map[wire.Shard]*place
	changed chan struct{} // closed and made anew with each change of places
	holds   map[wire.Shard]holding
	newer   map[peer.ID]uint16 // peers of a later epoch, and their shards
}

// New wires the service and does no I/O. More sinks may come: see Attach.
func New(h *p2p.Host, log *slog.Logger, sinks ...Sink) *Service {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	epochs := h.Network().Epochs
	if len(epochs) == 0 {
		epochs = []wire.Epoch{{Shards: 1}}
	}
	shards := min(newest(epochs).Shards, maxHeld) // a pair of nodes may share so many, each with its own sessions
	s := &Service{
		host: h, sinks: sinks, log: log, network: h.Network().Name, epochs: epochs, now: time.Now,
		queue: newQueue[market.NodeID](), wants: newWants(), bids: newQueue[wantKey](),
		perPeer:  newLimiters[peer.ID](peerRate, peerBurst),
		newcomer: newLimiters[peer.ID](newcomerRate, newcomerBurst),
		perNode:  rate.NewLimiter(nodeRate, nodeRate),
		syncPeer: newLimiters[peer.ID](rate.Limit(shards)*5/60, 5*shards),
		syncNode: rate.NewLimiter(rate.Limit(shards)*50/60, 50*shards),
		syncOut:  rate.NewLimiter(syncOutRate, syncOutBurst),
		perBack:  newLimiters[peer.ID](1.0/60, 1), wake: make(chan struct{}, 1), changed: make(chan struct{}),
		places: map[wire.Shard]*place{}, holds: map[wire.Shard]holding{}, newer: map[peer.ID]uint16{},
	}
	s.outcomes = newOutcomes(s)
	s.self, _ = p2p.PeerOf(h.ID()) // the host was made from the same key
	s.set = newSet(func(id market.NodeID) bool { return id == h.ID() || h.Leased(id) },
		func(id market.NodeID) {
			h.Tally(p2p.CountEvicted, "", 1)
			s.queue.push(id)
		})
	return s
}

// Serve gossips and syncs until ctx ends. It waits for the host. Call it once. Errors: gossip could not start.
func (s *Service) Serve(ctx context.Context) error {
	select {
	case <-s.host.Ready():
	case <-ctx.Done():
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.queue.serve(ctx, s.deliver) })
	g.Go(func() error { return s.bids.serve(ctx, s.tellWant) })
	g.Go(func() error { return s.outcomes.tell(ctx) })
	g.Go(func() error { return s.expireLoop(ctx) })
	if s.host.Quiet() { // what comes is what Fetch asks for
		return g.Wait()
	}
	ps, err := s.start(ctx)
	if err != nil {
		return err
	}
	lp := s.host.Libp2p()
	id := s.host.Network().Protocol("sync", 1)
	lp.SetStreamHandler(id, s.handleSync)
	defer lp.RemoveStreamHandler(id)
	g.Go(func() error { return s.keepPlaces(ctx, ps) })
	g.Go(func() error { return s.outcomes.serve(ctx, ps) })
	return g.Wait()
}

// deliver gives the Sinks what is held of a signer now.
func (s *Service) deliver(signer market.NodeID) {
	s.mu.Lock()
	sinks := s.sinks
	s.mu.Unlock()
	raw, ok := s.set.of(signer)
	if !ok { // displaced, or expired meanwhile
		for _, sink := range sinks {
			if f, keeps := sink.(Follower); keeps {
				f.Gone(signer)
			}
		}
		return
	}
	e, err := wire.Parse(raw, s.network)
	if err != nil {
		return // it was read before it was kept; this cannot happen
	}
	o, err := wire.ReadOffer(e)
	if err != nil {
		return // the same
	}
	s.host.Learn(o.Provider, o.Reach)
	for _, sink := range sinks {
		sink.Offer(o, raw)
	}
}

// Attach adds a Sink, before or while Serve runs, and gives it all Offers that are held: gossip and sync bring no Offer
// twice, so what came before would else be missing until its provider publishes again.
func (s *Service) Attach(sink Sink) {
	s.mu.Lock()
	s.sinks = append(slices.Clip(s.sinks), sink)
	s.mu.Unlock()
	s.queue.push(s.set.signers()...)
	s.wants.each(s.now(), func(row *heldWant) { s.bids.push(wantKey{row.want.Customer, row.want.Slot}) })
}

// Publish spreads an own Offer or Want (wire.SealOffer, SealWant), which must pass the validator of every node; ≥ 10 s
// apart, withdrawals at once. It waits for Serve. With no peer it is kept, and sync hands it on. Errors: *market.Error
// with code "offer-invalid"; ctx.
func (s *Service) Publish(ctx context.Context, raw []byte) error {
	homes, err := s.settle(raw)
	if err != nil {
		return &market.Error{Code: market.CodeOfferInvalid, Op: "publish offer", Kind: market.KindInvalid, Err: err}
	}
	for _, at := range homes {
		p, err := s.place(ctx, at)
		if err != nil {
			return fmt.Errorf("publish offer: %w", err)
		}
		if err := p.topic.Publish(ctx, raw); err != nil {
			return &market.Error{Code: market.CodeOfferInvalid, Op: "publish offer", Kind: market.KindInvalid, Err: err}
		}
	}
	return nil
}

// Stats are counts for health and tests.
type Stats struct {
	Offers      int // held, withdrawn ones included
	Subscribers int // peers on the topic; of several the one with the fewest
	Newer       int // shards of a later epoch, of which other nodes have spoken; 0: none
}

// Stats returns the current counts.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	places := slices.Collect(maps.Values(s.places))
	out := Stats{Newer: s.laterEpoch()}
	s.mu.Unlock()
	for i, p := range places {
		if n := len(p.topic.ListPeers()); i == 0 || n < out.Subscribers {
			out.Subscribers = n
		}
	}
	s.set.mu.RLock()
	out.Offers = len(s.set.docs)
	s.set.mu.RUnlock()
	return out
}

// Sellers is how many rigs of a class are known.
func (s *Service) Sellers(class string) int { return s.set.sellers(class) }

// Reach is the addresses of a rig's newest Offer; none if no Offer is held.
func (s *Service) Reach(id market.NodeID) []string {
	raw, ok := s.set.of(id)
	if !ok {
		return nil
	}
	o, _, err := wire.OpenOffer(raw, s.network)
	if err != nil {
		return nil // it was read before it was kept; this cannot happen
	}
	return o.Reach
}

// pulse tells the host how gossip stands; with several shards the one with the most subscribers counts.
func (s *Service) pulse(heard bool) {
	most := int32(0)
	s.mu.Lock()
	for _, p := range s.places {
		most = max(most, p.hearers.Load())
	}
	s.mu.Unlock()
	s.host.Gossip(int(most), s.held(), heard)
}

// held is how many Offers of others are there.
func (s *Service) held() int {
	s.set.mu.RLock()
	defer s.set.mu.RUnlock()
	n := len(s.set.docs)
	if _, own := s.set.docs[s.host.ID()]; own {
		n--
	}
	return n
}

// violation blames a peer for what no version of this program sends.
func (s *Service) violation(p peer.ID, cause error) {
	if id, ok := p2p.NodeOf(p); ok {
		s.host.Blame(id, cause)
	}
}

// score is the application's part of a peer's gossip score: −20 per violation.
func (s *Service) score(p peer.ID) float64 { return -20 * float64(s.host.Blamed(p)) }

// start starts gossipsub, without a topic.
func (s *Service) start(ctx context.Context) (*pubsub.PubSub, error) {
	n := s.host.Network()
	filter := pubsub.NewRegexpSubscriptionFilter(
		regexp.MustCompile("^" + regexp.QuoteMeta(n.Prefix()) + "/(book/1/[0-9]{1,4}/[0-9]{1,4}|outcomes/1)$"))
	ps, err := pubsub.NewGossipSub(ctx, s.host.Libp2p(),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID), pubsub.WithRawTracer(trace{h: s.host}),
		pubsub.WithGossipSubParams(params()), pubsub.WithFloodPublish(true), pubsub.WithPeerExchange(false),
		pubsub.WithPeerScore(s.scoreParams(), thresholds()), pubsub.WithMaxMessageSize(maxMessage),
		pubsub.WithMaxControlMessageSize(maxControl),
		pubsub.WithPeerOutboundQueueSize(256), pubsub.WithValidateQueueSize(512), pubsub.WithSeenMessagesTTL(seenTTL),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(filter, maxTopics)),
		pubsub.WithGossipSubProtocols([]protocol.ID{pubsub.GossipSubID_v12, pubsub.GossipSubID_v11},
			pubsub.GossipSubDefaultFeatures))
	if err != nil {
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	return ps, nil
}

// messageID covers the whole data, signature included: ids are marked seen before the validator runs, so without it a
// forged copy would suppress the real Offer.
func messageID(m *pb.Message) string {
	h := sha256.New()
	h.Write([]byte(m.GetTopic()))
	h.Write([]byte{0})
	h.Write(m.GetData())
	return string(h.Sum(nil)[:16])
}

func params() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dscore, p.Dout, p.Dlazy = 6, 5, 8, 4, 2, 6
	p.HeartbeatInterval, p.HistoryLength, p.HistoryGossip = time.Second, 6, 3
	return p
}

func thresholds() *pubsub.PeerScoreThresholds {
	return &pubsub.PeerScoreThresholds{GossipThreshold: -100, PublishThreshold: -500, GraylistThreshold: -2000,
		OpportunisticGraftThreshold: 2}
}
