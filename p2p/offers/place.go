package offers

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

// place is this node's part in one shard: its topic, and the sync of what is in it.
type place struct {
	s       *Service
	ps      *pubsub.PubSub
	at      wire.Shard
	topic   *pubsub.Topic
	sub     *pubsub.Subscription
	events  *pubsub.TopicEventHandler
	joined  chan arrival
	heal    chan struct{}
	hearers atomic.Int32 // peers on the topic
	stop    context.CancelFunc
	done    chan struct{}
}

// arrival is a peer that subscribes; back: it had been here before.
type arrival struct {
	peer peer.ID
	back bool
}

func topicPrefix(n p2p.Network) string { return n.Prefix() + "/book/1/" }

// topicName is the topic of a shard.
func topicName(n p2p.Network, at wire.Shard) string { return topicPrefix(n) + at.String() }

// shardOf is the shard of one of the own topics.
func (s *Service) shardOf(topic string) wire.Shard {
	if at, ok := wire.ParseShard(strings.TrimPrefix(topic, topicPrefix(s.host.Network()))); ok {
		return at
	}
	return wire.Whole
}

// enter joins the topic of a shard.
func (s *Service) enter(ps *pubsub.PubSub, at wire.Shard) (*place, error) {
	p := &place{s: s, ps: ps, at: at, joined: make(chan arrival, 256), heal: make(chan struct{}, 1),
		done: make(chan struct{})}
	name := topicName(s.host.Network(), at)
	var err error
	if p.topic, p.events, err = s.join(ps, name, s.gossip); err != nil {
		return nil, err
	}
	if p.sub, err = p.topic.Subscribe(pubsub.WithBufferSize(2048)); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", name, err)
	}
	return p, nil
}

// join joins a topic with its validator and its part in peers' scores.
func (s *Service) join(ps *pubsub.PubSub, name string, check pubsub.ValidatorEx) (topic *pubsub.Topic,
	events *pubsub.TopicEventHandler, err error) {
	if err = ps.RegisterTopicValidator(name, check, pubsub.WithValidatorInline(true)); err != nil {
		return nil, nil, fmt.Errorf("join %s: register validator: %w", name, err)
	}
	if topic, err = ps.Join(name); err != nil {
		return nil, nil, fmt.Errorf("join %s: %w", name, err)
	}
	if err = topic.SetScoreParams(topicScore()); err != nil {
		return nil, nil, fmt.Errorf("join %s: set scores: %w", name, err)
	}
	if events, err = topic.EventHandler(); err != nil {
		return nil, nil, fmt.Errorf("watch subscribers of %s: %w", name, err)
	}
	return topic, events, nil
}

// serve takes part until ctx ends, then leaves.
func (p *place) serve(ctx context.Context) error {
	defer close(p.done)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.drain(gctx) })
	g.Go(func() error { return p.watch(gctx) })
	g.Go(func() error { return p.syncLoop(gctx) })
	err := g.Wait()
	p.events.Cancel()
	p.sub.Cancel()
	_ = p.topic.Close() // it fails where gossip as a whole has ended
	_ = p.ps.UnregisterTopicValidator(p.topic.String())
	return err
}

// drain empties the subscription: the validator has already taken what is in it.
func (p *place) drain(ctx context.Context) error {
	for {
		if _, err := p.sub.Next(ctx); err != nil {
			return stopped(ctx, err)
		}
	}
}

func (p *place) watch(ctx context.Context) error {
	gone := map[peer.ID]bool{}
	for {
		e, err := p.events.NextPeerEvent(ctx)
		if err != nil {
			return stopped(ctx, err)
		}
		if e.Type == pubsub.PeerLeave {
			p.hearers.Add(-1)
			p.s.pulse(false)
			if len(gone) >= maxLimiters {
				clear(gone) // the next regular sync makes up for it
			}
			gone[e.Peer] = true
			continue
		}
		p.hearers.Add(1)
		p.s.pulse(false)
		select {
		case p.joined <- arrival{e.Peer, gone[e.Peer]}:
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
