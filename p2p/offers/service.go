package offers

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
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
)

// Sink takes verified Offers, also withdrawals (no Groups). Whenever a Sink is attached, all are given what is held, so
// one may get an Offer that it has; else each is newer than the last of its provider. Called from one
// goroutine.
type Sink interface {
	Offer(o market.Offer, raw []byte)
}

// Service gossips and syncs the Offers of one network.
type Service struct {
	host    *p2p.Host
	log     *slog.Logger
	network string
	now     func() time.Time
	self    peer.ID

	set      *set
	queue    *queue
	perPeer  *limiters[peer.ID]
	newcomer *limiters[peer.ID] // first Offers of unknown signers, by who forwards them
	perNode  *rate.Limiter
	syncPeer *limiters[peer.ID]
	syncNode *rate.Limiter
	syncOut  *rate.Limiter // bytes of documents sent
	perBack  *limiters[peer.ID]
	joined   chan arrival
	hearers  atomic.Int32 // peers on the topic
	ready    chan struct{}

	mu    sync.Mutex
	sinks []Sink
	topic *pubsub.Topic
}

// arrival is a peer that subscribes; back: it had been here before.
type arrival struct {
	peer peer.ID
	back bool
}

// New wires the service and does no I/O. More sinks may come: see Attach.
func New(h *p2p.Host, log *slog.Logger, sinks ...Sink) *Service {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		host: h, sinks: sinks, log: log, network: h.Network().Name, now: time.Now, set: newSet(), queue: newQueue(),
		perPeer:  newLimiters[peer.ID](peerRate, peerBurst),
		newcomer: newLimiters[peer.ID](newcomerRate, newcomerBurst),
		perNode:  rate.NewLimiter(nodeRate, nodeRate), syncPeer: newLimiters[peer.ID](5.0/60, 5),
		syncNode: rate.NewLimiter(50.0/60, 50), syncOut: rate.NewLimiter(syncOutRate, syncOutBurst),
		perBack: newLimiters[peer.ID](1.0/60, 1), joined: make(chan arrival, 256), ready: make(chan struct{}),
	}
	s.self, _ = p2p.PeerOf(h.ID()) // the host was made from the same key
	return s
}

// topicName is the one topic of all Offers; the numbers stay in the name so that it can be split.
func topicName(n p2p.Network) string { return n.Prefix() + "/book/1/1/0" }

// Serve gossips and syncs until ctx ends. It waits for the host. Call it once. Errors: gossip could not start.
func (s *Service) Serve(ctx context.Context) error {
	select {
	case <-s.host.Ready():
	case <-ctx.Done():
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.queue.serve(ctx, s.deliver) })
	g.Go(func() error { return s.expireLoop(ctx) })
	if s.host.Quiet() { // what comes is what Fetch asks for
		return g.Wait()
	}
	topic, err := s.join(ctx)
	if err != nil {
		return err
	}
	sub, err := topic.Subscribe(pubsub.WithBufferSize(2048))
	if err != nil {
		return fmt.Errorf("subscribe to offers: %w", err)
	}
	defer sub.Cancel()
	events, err := topic.EventHandler()
	if err != nil {
		return fmt.Errorf("watch subscribers of offers: %w", err)
	}
	defer events.Cancel()
	s.mu.Lock()
	s.topic = topic
	s.mu.Unlock()
	lp := s.host.Libp2p()
	id := s.host.Network().Protocol("sync", 1)
	lp.SetStreamHandler(id, s.handleSync)
	defer lp.RemoveStreamHandler(id)
	close(s.ready)
	s.host.Gossip(0, s.held(), false)
	g.Go(func() error { return s.drain(ctx, sub) })
	g.Go(func() error { return s.watch(ctx, events) })
	g.Go(func() error { return s.syncLoop(ctx) })
	return g.Wait()
}

// drain empties the subscription: the validator has already taken what is in it.
func (s *Service) drain(ctx context.Context, sub *pubsub.Subscription) error {
	for {
		if _, err := sub.Next(ctx); err != nil {
			return stopped(ctx, err)
		}
	}
}

func (s *Service) watch(ctx context.Context, events *pubsub.TopicEventHandler) error {
	gone := map[peer.ID]bool{}
	for {
		e, err := events.NextPeerEvent(ctx)
		if err != nil {
			return stopped(ctx, err)
		}
		if e.Type == pubsub.PeerLeave {
			s.host.Gossip(int(s.hearers.Add(-1)), s.held(), false)
			if len(gone) >= maxLimiters {
				clear(gone) // the next regular sync makes up for it
			}
			gone[e.Peer] = true
			continue
		}
		s.host.Gossip(int(s.hearers.Add(1)), s.held(), false)
		select {
		case s.joined <- arrival{e.Peer, gone[e.Peer]}:
		default: // plenty to sync with already
		}
		delete(gone, e.Peer)
	}
}

func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("gossip offers: %w", err)
}

// deliver gives the Sinks what is held of a signer now.
func (s *Service) deliver(signer market.NodeID) {
	raw, ok := s.set.of(signer)
	if !ok {
		return // expired meanwhile
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
	s.mu.Lock()
	sinks := s.sinks
	s.mu.Unlock()
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
}

// Publish spreads an own Offer (wire.SealOffer), which must pass the validator of every node; ≥ 10 s apart, withdrawals
// at once. It waits for Serve. With no peer it is kept, and sync hands it on. Errors: *market.Error with code
// "offer-invalid"; ctx.
func (s *Service) Publish(ctx context.Context, raw []byte) error {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return fmt.Errorf("publish offer: %w", ctx.Err())
	}
	s.mu.Lock()
	topic := s.topic
	s.mu.Unlock()
	if err := topic.Publish(ctx, raw); err != nil {
		return &market.Error{Code: market.CodeOfferInvalid, Op: "publish offer", Kind: market.KindInvalid, Err: err}
	}
	return nil
}

// Stats are counts for health and tests.
type Stats struct {
	Offers      int // held, withdrawn ones included
	Subscribers int // peers on the topic
}

// Stats returns the current counts.
func (s *Service) Stats() Stats {
	var out Stats
	s.mu.Lock()
	if s.topic != nil {
		out.Subscribers = len(s.topic.ListPeers())
	}
	s.mu.Unlock()
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

// join starts gossipsub and joins the topic.
func (s *Service) join(ctx context.Context) (*pubsub.Topic, error) {
	n := s.host.Network()
	name := topicName(n)
	filter := pubsub.NewRegexpSubscriptionFilter(
		regexp.MustCompile("^" + regexp.QuoteMeta(n.Prefix()) + "/book/1/[0-9]{1,4}/[0-9]{1,4}$"))
	ps, err := pubsub.NewGossipSub(ctx, s.host.Libp2p(),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithGossipSubParams(params()), pubsub.WithFloodPublish(true), pubsub.WithPeerExchange(false),
		pubsub.WithPeerScore(s.scoreParams(name), thresholds()), pubsub.WithMaxMessageSize(maxMessage),
		pubsub.WithMaxControlMessageSize(maxControl),
		pubsub.WithPeerOutboundQueueSize(256), pubsub.WithValidateQueueSize(512), pubsub.WithSeenMessagesTTL(seenTTL),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(filter, 300)),
		pubsub.WithGossipSubProtocols([]protocol.ID{pubsub.GossipSubID_v12, pubsub.GossipSubID_v11},
			pubsub.GossipSubDefaultFeatures))
	if err != nil {
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	if err := ps.RegisterTopicValidator(name, s.gossip, pubsub.WithValidatorInline(true)); err != nil {
		return nil, fmt.Errorf("start gossip: register validator: %w", err)
	}
	topic, err := ps.Join(name)
	if err != nil {
		return nil, fmt.Errorf("start gossip: join %s: %w", name, err)
	}
	return topic, nil
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
