package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/dht"
	"github.com/gpuai/gpuai/p2p/offers"
)

const (
	seekRigs  = 3                // Offers that end a look-up
	seekTime  = 30 * time.Second // of one look-up
	seekEvery = 30 * time.Second // of one key
	seeksMost = 64               // keys remembered
	fewPeers  = 3                // below it meeting points are looked for
	lookEvery = time.Minute
	hearFor   = time.Hour // after an order looked at its book last
)

// finder joins the DHT with the rest of the node: it announces what this node sells and is, and looks for others where
// gossip does not reach. What it finds comes as Offers, as by gossip.
type finder struct {
	host   *p2p.Host
	dht    *dht.Service
	offers *offers.Service
	log    *slog.Logger
	wanted chan dht.Key

	mu     sync.Mutex
	sought map[dht.Key]*look
}

// look is the newest look-up of a key.
type look struct {
	began time.Time
	goes  bool // on, or waits for its turn
}

func newFinder(h *p2p.Host, o *offers.Service, log *slog.Logger) *finder {
	return &finder{host: h, offers: o, dht: dht.New(h, log), log: log, wanted: make(chan dht.Key, seeksMost),
		sought: map[dht.Key]*look{}}
}

// Offer implements offers.Sink: the classes of the own Offer are what this node is found under.
func (f *finder) Offer(o market.Offer, _ []byte) {
	if o.Provider != f.host.ID() {
		return
	}
	var classes []string
	for _, g := range o.Groups {
		classes = append(classes, g.Class)
	}
	f.announce(classes)
}

func (f *finder) announce(classes []string) {
	keys := meetingKeys(f.host.Infra(), f.host.Indexes())
	slices.Sort(classes)
	for _, c := range slices.Compact(classes) {
		keys = append(keys, f.dht.ClassKeys(c, f.offers.Sellers(c))...)
	}
	f.dht.Announce(keys...)
}

// meetingKeys are the keys under which a node is found as a meeting point.
func meetingKeys(infra, indexes bool) (keys []dht.Key) {
	if infra {
		keys = append(keys, dht.Infra)
	}
	if indexes {
		keys = append(keys, dht.Indexer)
	}
	return keys
}

// Seek looks for rigs of classes, or for meeting points if there are none, without waiting: what comes is in the book
// then. One key is looked up once in half a minute. True: a look-up of them goes on.
func (f *finder) Seek(classes []string) (goes bool) {
	keys := meetingKeys(true, true)
	if len(classes) > 0 {
		keys = nil
	}
	for _, c := range classes {
		keys = append(keys, dht.Class(c))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		l := f.sought[k]
		if l == nil || !l.goes && time.Since(l.began) >= seekEvery {
			if len(f.sought) >= seeksMost {
				clear(f.sought)
			}
			l = &look{began: time.Now()}
			f.sought[k] = l
			select {
			case f.wanted <- k:
				l.goes = true
			default: // plenty is looked for already
			}
		}
		goes = goes || l.goes
	}
	return goes
}

// Hear keeps this node for a while where Offers of classes are gossiped.
func (f *finder) Hear(classes []string) { f.offers.Hold(time.Now().Add(hearFor), classes...) }

// Find looks a key up and says what it met. Errors: as dht.Find.
func (f *finder) Find(ctx context.Context, k dht.Key, want int) (dht.Found, error) {
	check := f.meet
	if k != dht.Infra && k != dht.Indexer {
		check = f.sells
	}
	return f.dht.Find(ctx, k, want, check)
}

// sells is the check of a rig: the Offer that it sends itself, with something in it.
func (f *finder) sells(ctx context.Context, id market.NodeID, addrs []string) error {
	o, err := f.offers.Fetch(ctx, id, addrs)
	if err == nil && len(o.Groups) == 0 {
		err = offers.ErrNoOffer
	}
	return err
}

// meet is the check of a meeting point: a connection. Sync follows by itself.
func (f *finder) meet(ctx context.Context, id market.NodeID, addrs []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return f.host.Connect(ctx, id, addrs)
}

// Serve takes part in the DHT and does the look-ups until ctx ends.
func (f *finder) Serve(ctx context.Context) error {
	f.announce(nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.dht.Serve(ctx) })
	g.Go(func() error {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case k := <-f.wanted:
				f.look(ctx, k)
			case <-look.C:
				if f.host.Peers() < fewPeers && f.dht.Stats().Table > 0 {
					f.Seek(nil)
				}
				if c := f.offers.Lonely(); len(c) > 0 {
					f.Seek(c)
				}
			}
		}
	})
	return g.Wait()
}

func (f *finder) look(ctx context.Context, k dht.Key) {
	ctx, cancel := context.WithTimeout(ctx, seekTime)
	defer cancel()
	found, err := f.Find(ctx, k, seekRigs)
	f.log.Debug("Looked up in the DHT", "key", k, "records", found.Records, "good", len(found.Good), "error", err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.sought[k]; l != nil {
		l.goes = false
	}
}
