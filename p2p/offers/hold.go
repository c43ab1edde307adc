package offers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Bounds of what a node holds of a network that is split, beside the shards of its own Offer.
const (
	maxHeld  = 8 // shards
	maxParts = 2 // of one class
	maxNewer = 16
	surely   = 2 // peers that speak of a later epoch before it is believed
	lonely   = 6 // subscribers with which a shard holds together
)

// holding says until when a shard is held, and for which class; own: for an own document.
type holding struct {
	until time.Time
	class string
	own   bool
}

func newest(epochs []wire.Epoch) wire.Epoch { return epochs[len(epochs)-1] }

// Hold keeps this node in the shards of classes until then. Where there is but one shard everybody holds it. When too
// many are asked for, the one that would end first gives way.
func (s *Service) Hold(until time.Time, classes ...string) {
	for _, e := range wire.InForce(s.epochs, s.now()) {
		for _, c := range classes {
			for _, at := range e.Seen(s.host.ID(), c, maxParts) {
				s.hold(at, holding{until: until, class: c})
			}
		}
	}
	s.stir()
}

func (s *Service) hold(at wire.Shard, h holding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.holds[at]
	if old.until.After(h.until) {
		h.until = old.until
	}
	h.own = h.own || old.own && s.now().Before(old.until)
	s.holds[at] = h
	var read []wire.Shard
	for at, h := range s.holds {
		if !h.own {
			read = append(read, at)
		}
	}
	if len(read) > maxHeld {
		delete(s.holds, slices.MinFunc(read, func(a, b wire.Shard) int {
			return s.holds[a].until.Compare(s.holds[b].until)
		}))
	}
}

// wanted is the shards that this node should hold now: all where it is a meeting point or an
// indexer.
func (s *Service) wanted(now time.Time) map[wire.Shard]bool {
	out := map[wire.Shard]bool{}
	for _, e := range wire.InForce(s.epochs, now) {
		if e.Shards <= 1 || s.host.Infra() || s.host.Indexes() {
			for _, at := range e.All() {
				out[at] = true
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, h := range s.holds {
		if now.Before(h.until) {
			out[at] = true
		} else {
			delete(s.holds, at)
		}
	}
	return out
}

func (s *Service) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// keepPlaces enters and leaves shards until ctx ends.
func (s *Service) keepPlaces(ctx context.Context, ps *pubsub.PubSub) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for {
			if err := s.move(ctx, g, ps); err != nil {
				return stopped(ctx, err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-s.wake:
			case <-s.host.Healing():
				s.heal()
			}
		}
	})
	return g.Wait()
}

// heal has all shards sync anew.
func (s *Service) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.places {
		select {
		case p.heal <- struct{}{}:
		default:
		}
	}
}

func (s *Service) move(ctx context.Context, g *errgroup.Group, ps *pubsub.PubSub) error {
	want := s.wanted(s.now())
	s.mu.Lock()
	var left []*place
	for at, p := range s.places {
		if !want[at] {
			left = append(left, p)
			delete(s.places, at)
		}
		delete(want, at)
	}
	s.mu.Unlock()
	for _, p := range left {
		p.stop()
		<-p.done
	}
	var came []*place
	for at := range want {
		p, err := s.enter(ps, at)
		if err != nil {
			return err
		}
		came = append(came, p)
	}
	s.mu.Lock()
	for _, p := range came {
		s.places[p.at] = p
	}
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	if len(came) > 0 {
		s.pulse(false)
	}
	for _, p := range came {
		pctx, stop := context.WithCancel(ctx)
		p.stop = stop
		g.Go(func() error { return p.serve(pctx) })
	}
	return nil
}

// Lonely is the classes whose shards are held and have too few subscribers to hold together: others who sell them are
// to be looked for. Where there is but one shard there are none.
func (s *Service) Lonely() (classes []string) {
	s.mu.Lock()
	places := slices.Collect(maps.Values(s.places))
	rows := maps.Clone(s.holds)
	s.mu.Unlock()
	for _, p := range places {
		if c := rows[p.at].class; p.at != wire.Whole && c != "" && len(p.topic.ListPeers()) < lonely {
			classes = append(classes, c)
		}
	}
	return classes
}

// place waits until a shard is held. Errors: ctx's.
func (s *Service) place(ctx context.Context, at wire.Shard) (*place, error) {
	for {
		s.mu.Lock()
		p, changed := s.places[at], s.changed
		s.mu.Unlock()
		if p != nil {
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// settle holds the shards that an own document belongs to, for as long as it lives, and says which they are: those of
// its classes; a withdrawn Offer's are those of what it withdraws. Its signature is for the validator, which it passes
// next. Errors: it is neither an Offer nor a Want.
func (s *Service) settle(raw []byte) ([]wire.Shard, error) {
	e, err := wire.Parse(raw, s.network)
	if err != nil {
		return nil, err
	}
	if e.Kind == wire.KindWant {
		w, err := wire.ReadWant(e)
		if err != nil {
			return nil, err
		}
		return s.settleWant(w), nil
	}
	if e.Kind != wire.KindOffer {
		return nil, fmt.Errorf("%w: neither an offer nor a want", wire.ErrMalformed)
	}
	o, err := wire.ReadOffer(e)
	if err != nil {
		return nil, err
	}
	now := s.now()
	var out []wire.Shard
	for _, e := range wire.InForce(s.epochs, now) {
		for _, c := range classesOf(o) {
			for _, at := range e.Of(o.Provider, c) {
				s.hold(at, holding{until: now.Add(o.Lifetime), class: c, own: true})
			}
		}
		of := e.Of(o.Provider, classesOf(o)...)
		if len(of) == 0 {
			of = slices.DeleteFunc(s.set.homes(o.Provider), func(at wire.Shard) bool { return int(at.Of) != e.Shards })
		}
		out = append(out, of...)
	}
	s.stir()
	return out, nil
}

// belongs reports whether an Offer may come in a shard. A withdrawal may come in any.
func (s *Service) belongs(o market.Offer, in wire.Shard) error {
	if len(o.Groups) == 0 {
		return nil
	}
	for _, e := range s.epochs {
		if slices.Contains(e.Of(o.Provider, classesOf(o)...), in) {
			return nil
		}
	}
	return fmt.Errorf("no class of the offer is of shard %s", in)
}

// noteEpoch remembers a peer that splits the network further than this program knows.
func (s *Service) noteEpoch(p peer.ID, of uint16) {
	if int(of) <= newest(s.epochs).Shards || of > wire.MaxShards {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.newer) < maxNewer {
		s.newer[p] = of
	}
}

// laterEpoch is the most shards that peers spoke of; one alone is not believed. It needs mu.
func (s *Service) laterEpoch() (out int) {
	if len(s.newer) < surely {
		return 0
	}
	for _, of := range s.newer {
		out = max(out, int(of))
	}
	return out
}
