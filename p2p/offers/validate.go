package offers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Rates of incoming documents. Only the forwarder pays before the signature is checked, else anyone could burn a
// victim's quota.
const (
	peerRate, peerBurst                    = 100, 500
	nodeRate                               = 4000
	signerBurst                            = 12 // and as many a minute
	futureSkew                             = time.Minute
	maxLimiters                            = 4096
	signerRate                  rate.Limit = 12.0 / 60
	newcomerRate, newcomerBurst            = 10, 300 // of one forwarder; what is dropped here comes by sync
)

// errBad marks what every version refuses: its forwarder is to blame. Others are for this node only.
var (
	errBad     = errors.New("invalid document")
	errClock   = errors.New("from the future or expired")
	errOld     = errors.New("not newer")
	errLimited = errors.New("rate limited")
)

// limiters are token buckets by key. When they are too many, one that was not used of late makes room, which looks at a
// few only: a full table costs no more than another one.
type limiters[K comparable] struct {
	limit rate.Limit
	burst int

	mu sync.Mutex
	m  map[K]*rate.Limiter
}

func newLimiters[K comparable](limit rate.Limit, burst int) *limiters[K] {
	return &limiters[K]{limit: limit, burst: burst, m: map[K]*rate.Limiter{}}
}

func (l *limiters[K]) allow(k K, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.m[k]
	if b == nil {
		l.makeRoom(now)
		b = rate.NewLimiter(l.limit, l.burst)
		l.m[k] = b
	}
	return b.AllowN(now, 1)
}

// makeRoom drops, of eight rows at random, the one that has used least.
func (l *limiters[K]) makeRoom(now time.Time) {
	if len(l.m) < maxLimiters {
		return
	}
	var least K
	most, looked := -1.0, 0
	for k, b := range l.m {
		if t := b.TokensAt(now); t > most {
			least, most = k, t
		}
		if looked++; looked == 8 {
			break
		}
	}
	delete(l.m, least)
}

// gossip is the topic's validator.
func (s *Service) gossip(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	now := s.now()
	own := from == s.self
	if len(m.Data) > wire.MaxOffer { // 1
		s.violation(from, fmt.Errorf("%w: %d bytes", errBad, len(m.Data)))
		return pubsub.ValidationReject
	}
	if !own && (!s.perPeer.allow(from, now) || !s.perNode.AllowN(now, 1)) { // 2
		return pubsub.ValidationIgnore
	}
	err := s.take(m.Data, now, &entry{in: s.shardOf(m.GetTopic()),
		may: func(signer market.NodeID) bool { return own || s.mayEnter(signer, from, now) }})
	switch {
	case err == nil:
		if !own {
			s.pulse(true)
		}
		return pubsub.ValidationAccept
	case errors.Is(err, errBad):
		s.violation(from, err)
		return pubsub.ValidationReject
	}
	return pubsub.ValidationIgnore
}

// mayEnter bounds how often Offers come by gossip. A known signer pays in its own row. An unknown one costs its
// forwarder, so that a flood of fresh keys takes nothing from the first Offers that others bring.
func (s *Service) mayEnter(signer market.NodeID, from peer.ID, now time.Time) bool {
	if known, may := s.set.allow(signer, now); known {
		return may
	}
	return s.newcomer.allow(from, now)
}

// entry says how a document comes: in which shard, and what bounds the rate of its signer, if anything does.
type entry struct {
	in  wire.Shard
	may func(signer market.NodeID) bool
}

// take runs the steps that gossip and sync share and keeps a good Offer or Want. how is nil where its own signer was
// asked for it. What has come in another shard already is good once more in this one, so that it goes on there too.
// Errors: errBad, wire.ErrNewer, errClock, errOld, errLimited.
func (s *Service) take(raw []byte, now time.Time, how *entry) error {
	e, err := wire.Parse(raw, s.network)
	if errors.Is(err, wire.ErrNewer) { // 1
		return err
	}
	if err == nil && e.Kind == wire.KindWant {
		return s.takeWant(e, raw, now, how)
	}
	if err == nil && e.Kind != wire.KindOffer {
		err = errors.New("neither an offer nor a want")
	}
	var o market.Offer
	if err == nil {
		o, err = wire.ReadOffer(e) // 3 and 7
	}
	if err == nil && !s.host.MayReach(o.Reach) {
		err = fmt.Errorf("reach %v names what nobody elsewhere can reach", o.Reach)
	}
	if err == nil && how != nil {
		err = s.belongs(o, how.in)
	}
	if err != nil {
		return errors.Join(errBad, err)
	}
	issued := time.UnixMilli(int64(o.Seq))
	d := doc{id: e.ID, seq: o.Seq, expires: issued.Add(o.Lifetime), raw: append([]byte{}, raw...),
		classes: classesOf(o), rows: len(o.Groups)}
	d.stand(s.epochs, e.Signer, how)
	if issued.After(now.Add(futureSkew)) || !now.Before(d.expires) { // 4
		return errClock
	}
	if how != nil && s.set.again(e.Signer, raw, how.in) {
		return nil
	}
	if !s.set.newer(e.Signer, d.seq, d.id) { // 5
		return errOld
	}
	if err := e.Verify(s.network); err != nil { // 6
		return errors.Join(errBad, err)
	}
	if how != nil && how.may != nil && !how.may(e.Signer) { // 8
		return errLimited
	}
	twice := s.set.twice(e.Signer, d.seq)
	if !s.set.put(e.Signer, d, now) {
		return errOld
	}
	if twice {
		s.host.Tally(p2p.CountEquivocations, "", 1)
	}
	s.queue.push(e.Signer) // 9
	return nil
}

func classesOf(o market.Offer) (out []string) {
	for _, g := range o.Groups {
		if !slices.Contains(out, g.Class) {
			out = append(out, g.Class)
		}
	}
	return out
}
