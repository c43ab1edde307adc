package dht

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
)

// The self-probe: after each announcement the node asks those who should keep it. Two probes in a row of which one key
// has less than a quarter alarm; one with at least a half of each ends the alarm.
const (
	lookAfter = 2 * time.Minute  // an announcement
	lookTime  = time.Minute      // for all keys
	missFirst = time.Minute      // before the next announcement after a bad probe; doubled each time, up to missMax
	missMax   = 20 * time.Minute // of another hour until the regular one
	missAlarm = 2
)

// Seen is what the newest self-probe has found, of the key that fewest keep.
type Seen struct {
	Key         Key
	Held, Asked int
	Misses      int  // bad probes in a row
	Unseen      bool // the alarm
}

// Ratio is the part of those who should keep the key that do.
func (s Seen) Ratio() float64 { return float64(s.Held) / float64(max(s.Asked, 1)) }

// next is the state after another probe; good: nothing needs to be announced anew.
func (s Seen) next(key Key, held, asked int) (out Seen, good bool) {
	out = Seen{Key: key, Held: held, Asked: asked, Misses: s.Misses, Unseen: s.Unseen}
	switch {
	case 4*held < asked:
		out.Misses++
		out.Unseen = out.Unseen || out.Misses >= missAlarm
		return out, false
	case 2*held >= asked:
		out.Unseen = false
	}
	out.Misses = 0
	return out, !out.Unseen
}

// look probes all keys and reports whether enough nodes keep them; a node that can ask nobody knows nothing, which is
// no miss.
func (s *Service) look(ctx context.Context) (good bool) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s.mu.Lock()
	keys := s.keys
	s.mu.Unlock()
	var worst Seen
	for _, k := range keys {
		held, asked, err := s.Probe(ctx, k)
		if err != nil || asked == 0 {
			continue
		}
		if n := (Seen{Key: k, Held: held, Asked: asked}); worst.Asked == 0 || n.Ratio() < worst.Ratio() {
			worst = n
		}
	}
	if worst.Asked == 0 {
		return true
	}
	s.mu.Lock()
	before := s.seen.Unseen
	s.seen, good = s.seen.next(worst.Key, worst.Held, worst.Asked)
	turned := before != s.seen.Unseen
	s.mu.Unlock()
	if turned {
		s.tell()
	}
	return good
}

// forget ends an alarm about keys that are no longer announced.
func (s *Service) forget() {
	s.mu.Lock()
	turned := s.seen.Unseen
	s.seen = Seen{}
	s.mu.Unlock()
	if turned {
		s.tell()
	}
}

func (s *Service) tell() {
	select {
	case s.turned <- struct{}{}:
	default: // it is told already
	}
}

// Turned receives when Seen.Unseen has changed. One reader; many coalesce.
func (s *Service) Turned() <-chan struct{} { return s.turned }

// Probe asks the nodes that should keep a record of this node under a key whether they do: asked answered, held have
// it. Errors: the table is not up or is empty, ctx's.
func (s *Service) Probe(ctx context.Context, key Key) (held, asked int, err error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("probe %s: %w", key, ctx.Err())
	}
	c, err := key.cid(s.host.Network().Name)
	if err != nil {
		return 0, 0, err
	}
	ask, err := kadpb.NewProtocolMessenger(s.table.MessageSender())
	if err != nil {
		return 0, 0, fmt.Errorf("probe %s: %w", key, err)
	}
	near, err := s.table.GetClosestPeers(ctx, string(c.Hash()))
	if err != nil {
		return 0, 0, fmt.Errorf("probe %s: %w", key, err)
	}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(asksAtOnce)
	for _, p := range near {
		g.Go(func() error {
			records, _, err := ask.GetProviders(ctx, p, c.Hash())
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				asked++
			}
			if slices.ContainsFunc(records, func(r *peer.AddrInfo) bool { return r.ID == s.table.PeerID() }) {
				held++
			}
			return nil
		})
	}
	return held, asked, g.Wait()
}
