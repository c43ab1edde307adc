package dht

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	kad "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/p2p"
)

// Constants of the network: the node that stores a record enforces them, so all nodes must have the same.
const (
	Validity   = 3 * time.Hour
	Reprovide  = time.Hour // ± 20 %
	bucketSize = 20
)

const (
	provideTime = time.Minute      // one announcement
	retryFirst  = 5 * time.Second  // after a failed one; doubled each time, up to retryMax
	retryMax    = 10 * time.Minute // a table that is empty for long fills by itself
	maxKeys     = 16               // of one node: an Offer has ≤ 4 classes, each with a part
)

// Service is the node's place in the table. Use New, then Serve.
type Service struct {
	host  *p2p.Host
	log   *slog.Logger
	ready chan struct{}
	table *kad.IpfsDHT // set before ready is closed

	mu     sync.Mutex
	keys   []Key
	wake   chan struct{}
	last   Announced
	seen   Seen
	turned chan struct{}
}

// Announced says how the newest announcement went.
type Announced struct {
	Keys []Key
	At   time.Time // of the last one that succeeded whole; zero: none yet
	Err  error     // of the last try; nil: it succeeded
}

// New wires the service and does no I/O.
func New(h *p2p.Host, log *slog.Logger) *Service {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Service{host: h, log: log, ready: make(chan struct{}), wake: make(chan struct{}, 1),
		turned: make(chan struct{}, 1)}
}

// Serve takes part until ctx ends. It waits for the host. Call it once. Errors: the table could not be made.
func (s *Service) Serve(ctx context.Context) (err error) {
	select {
	case <-s.host.Ready():
	case <-ctx.Done():
		return nil
	}
	n := s.host.Network()
	table, err := kad.New(s.host.Libp2p(),
		kad.ProtocolPrefix(p2p.DHTPrefix(n)), kad.DisableValues(), kad.Mode(mode(s.host)), kad.BucketSize(bucketSize),
		kad.BootstrapPeersFunc(s.host.MeetingPoints),
		kad.ProviderManagerOpts(records.ProvideValidity(Validity), records.ProviderAddrTTL(Validity)),
		kad.DisableAutoRefresh(), // see meet
		kad.AddressFilter(s.host.Dialable),
		kad.QueryFilter(func(_ any, a peer.AddrInfo) bool {
			return s.host.Connected(a.ID) ||
				len(s.host.Dialable(a.Addrs)) > 0
		}),
		kad.RoutingTableFilter(func(_ any, p peer.ID) bool { return s.reachable(p) }))
	if err != nil {
		return fmt.Errorf("start the DHT: %w", err)
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	s.table = table
	close(s.ready)
	s.announce(ctx)
	return nil
}

func mode(h *p2p.Host) kad.ModeOpt {
	switch {
	case h.Serves() && (h.Network().Private || h.Infra()):
		return kad.ModeServer
	case h.Serves():
		return kad.ModeAuto // a server once others reach it
	}
	return kad.ModeClient
}

// reachable reports whether others could dial the peer where this node sees it.
func (s *Service) reachable(p peer.ID) bool {
	var at []ma.Multiaddr
	for _, c := range s.host.Libp2p().Network().ConnsToPeer(p) {
		at = append(at, c.RemoteMultiaddr())
	}
	return len(s.host.Dialable(at)) > 0
}

// Announce says under which keys this node can be found from now on, and again before the records end. It does not
// wait. An empty set ends the announcements; records that are out live for Validity.
func (s *Service) Announce(keys ...Key) {
	keys = slices.Clone(keys[:min(len(keys), maxKeys)])
	slices.Sort(keys)
	s.mu.Lock()
	same := slices.Equal(keys, s.keys)
	s.keys = keys
	s.mu.Unlock()
	if !same {
		s.poke()
	}
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// announce provides the keys: when they change, again each hour, sooner after a failure or when those who should keep
// them do not.
func (s *Service) announce(ctx context.Context) {
	next, look := time.NewTimer(0), time.NewTimer(0)
	defer next.Stop()
	defer look.Stop()
	look.Stop()
	retry, again := retryFirst, missFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			if s.look(ctx) {
				again = missFirst
				continue
			}
			next.Reset(again)
			again = min(2*again, missMax)
			continue
		case <-s.wake:
			retry, again = retryFirst, missFirst
		case <-next.C:
		}
		s.mu.Lock()
		keys := s.keys
		s.mu.Unlock()
		if len(keys) == 0 {
			next.Stop()
			look.Stop()
			s.forget()
			continue
		}
		err := s.provide(ctx, keys)
		if ctx.Err() != nil {
			return
		}
		s.noted(keys, err)
		if err == nil {
			retry = retryFirst
			next.Reset(Reprovide*4/5 + rand.N(Reprovide*2/5))
			look.Reset(lookAfter)
			continue
		}
		s.log.Debug("Announcement in the DHT failed", "keys", len(keys), "again", retry, "error", err)
		next.Reset(retry)
		retry = min(2*retry, retryMax)
	}
}

// meet has the node look for its own neighbours in the table, so that they know of it. The stock refresh looks for
// random keys of each distance as well: in a network of 200 it connects each node to all others within seconds.
func (s *Service) meet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, provideTime)
	defer cancel()
	_, err := s.table.GetClosestPeers(ctx, string(s.table.PeerID()))
	if err != nil {
		s.log.Debug("Look for own neighbours in the DHT", "error", err) // announcements meet others, too
	}
}

func (s *Service) provide(ctx context.Context, keys []Key) error {
	var errs []error
	if s.host.Serves() {
		s.meet(ctx)
	}
	for _, k := range keys {
		c, err := k.cid(s.host.Network().Name)
		if err == nil {
			kctx, cancel := context.WithTimeout(ctx, provideTime)
			err = s.table.Provide(kctx, c, true)
			cancel()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("provide %s: %w", k, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) noted(keys []Key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host.Tally(p2p.CountAnnouncements, p2p.Result(err == nil), 1)
	s.last.Keys, s.last.Err = keys, err
	if err != nil {
		return
	}
	s.last.At = time.Now()
}

// Stats are counts for people and metrics.
type Stats struct {
	Server    bool // answers others
	Table     int  // nodes in the routing table
	Announced Announced
	Seen      Seen
}

// Stats returns the current counts; zero before Serve has begun.
func (s *Service) Stats() (out Stats) {
	select {
	case <-s.ready:
		out.Table = s.table.RoutingTable().Size()
		out.Server = slices.Contains(s.host.Libp2p().Mux().Protocols(), p2p.DHTPrefix(s.host.Network())+"/kad/1.0.0")
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Announced, out.Seen = s.last, s.seen
	return out
}
