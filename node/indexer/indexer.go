package indexer

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/indexer/rows"
	"github.com/gpuai/gpuai/node/rest"
)

// Times of the writer and of sums.
const (
	flushEvery  = 250 * time.Millisecond // what comes meanwhile goes into one transaction
	sweepEvery  = 10 * time.Second       // Offers that expire send no event
	sumLeast    = time.Second            // between two sums of the market
	sumShare    = 20                     // they take at most a 20th of the time
	sumMost     = 30 * time.Second       // reachable and leased end by the clock
	bucketEvery = time.Minute
	retryMost   = time.Minute // between two attempts at a database that fails
)

// Bounds of what waits for the writer; what is over them is dropped and counted. An Offer that is newer takes the place
// of the one that waits.
const (
	maxWaiting = 60_000 // rigs; gossip holds 50,000 Offers
	maxProbes  = 10_000
)

// Config of an indexer. Store is a file or "postgres://…"; Listen the address of the public API, "": none. Genesis
// names the ledger: an index of another one is begun anew.
type Config struct {
	Network, Genesis string
	Store, Listen    string
	ChainEvery       time.Duration                  // between two looks at the ledger
	RPC              public.Relay                   // for web pages; nil: none
	Observe          func(route string, status int) // hears of each request of the public API; nil: nobody does
	Compare          []string                       // addresses of other indexers
	OnChain          OnChainReads                   // for comparisons; nil functions: the chain is not asked
}

// OnChainReads are fresh reads of the chain: of a transaction's rows, and of what a row says of a channel.
type OnChainReads struct {
	Rows    func(ctx context.Context, sig string) ([]public.DigestRow, error)
	Channel func(ctx context.Context, id string) (string, error)
}

// Indexer is the role. Use New, then Serve.
type Indexer struct {
	cfg   Config
	index *db.DB
	dial  Dialer
	chain Chain
	log   *slog.Logger

	mu      sync.Mutex
	rigs    map[string]db.Rig // newest, by peer
	probes  []db.Probe
	wants   map[slot]db.Want // newest
	leases  map[[3]string]db.Lease
	delays  []db.Delay
	since   time.Time // of this start
	refused int64     // figures that were left out, and documents that found no room, of all starts
	told    int64     // of them, in the index
	work    work
	at      string
	wake    chan struct{}
	due     *dues
	loaded  chan struct{}
	others  *comparer
}

// New opens the index. Close it if Serve is never called. Errors: *market.Error index-unusable, version-mismatch.
func New(ctx context.Context, cfg Config, dial Dialer, chain Chain, log *slog.Logger) (*Indexer, error) {
	index, err := db.Open(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	x := &Indexer{cfg: cfg, index: index, dial: dial, chain: chain, log: log, rigs: map[string]db.Rig{},
		wants: map[slot]db.Want{}, leases: map[[3]string]db.Lease{}, since: time.Now(), wake: make(chan struct{}, 1),
		due:    newDues(),
		loaded: make(chan struct{})}
	x.others = &comparer{with: cfg.Compare, own: x.Address, onChain: cfg.OnChain, log: log}
	if err := x.sameLedger(ctx); err != nil {
		return nil, errors.Join(err, index.Close())
	}
	return x, nil
}

// sameLedger begins an index anew that is of another ledger: that of a local network is new at each of its starts.
func (x *Indexer) sameLedger(ctx context.Context) error {
	was, err := x.index.Meta(ctx, "genesis")
	if err == nil && was != x.cfg.Genesis {
		if was != "" {
			x.log.Warn("The index is of another ledger and is begun anew", "old", was, "new", x.cfg.Genesis)
			err = x.index.Reset(ctx)
		}
		if err == nil {
			_, err = x.index.Apply(ctx, time.Now(), db.Change{Meta: map[string]string{"genesis": x.cfg.Genesis,
				"since": strconv.FormatInt(time.Now().UnixMilli(), 10)}})
		}
	}
	return err
}

// Loaded is closed once Serve listens.
func (x *Indexer) Loaded() <-chan struct{} { return x.loaded }

// Close lets go of the index; Serve has returned.
func (x *Indexer) Close() error { return x.index.Close() }

// Address is where the public API listens, "" if it does not.
func (x *Indexer) Address() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.at
}

// Offer implements offers.Sink.
func (x *Indexer) Offer(o market.Offer, raw []byte) {
	r, refused := rows.Offer(o, raw)
	x.mu.Lock()
	x.refused += int64(refused)
	if old, waits := x.rigs[r.Peer]; !waits && len(x.rigs) >= maxWaiting {
		x.refused++
	} else if r.Seq > old.Seq {
		x.rigs[r.Peer] = r
		x.heard(r.Seq, time.Now())
	}
	x.mu.Unlock()
	if len(r.Lots) > 0 {
		x.due.add(o.Provider, time.Now())
	}
	x.poke()
}

func (x *Indexer) poke() {
	select {
	case x.wake <- struct{}{}:
	default: // it is awake
	}
}

// Serve writes, dials, sums and serves until ctx ends. Call it once. Errors: config-invalid, where it cannot listen.
func (x *Indexer) Serve(ctx context.Context) error {
	since, err := x.index.Meta(ctx, "since")
	if err != nil {
		return err
	}
	ms, _ := strconv.ParseInt(since, 10, 64) // written by sameLedger
	refused, err := x.index.Meta(ctx, db.MetaRefused)
	if err != nil {
		return err
	}
	x.mu.Lock()
	before, _ := strconv.ParseInt(refused, 10, 64) // none is 0
	x.refused, x.told = x.refused+before, before
	x.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	if x.cfg.Listen != "" {
		m := public.New(public.Config{Index: x.index, Network: x.cfg.Network, Since: time.UnixMilli(ms),
			RPC: x.cfg.RPC, Compared: x.others.comparedWith, Observe: x.cfg.Observe},
			x.log.With("part", "public"))
		defer m.Close()
		l, err := rest.Listen(ctx, "indexer.listen", x.cfg.Listen)
		if err != nil {
			return err
		}
		x.mu.Lock()
		x.at = l.Addr().String()
		x.mu.Unlock()
		x.log.Info("Site and public API listen", "address", x.at, "path", public.Base)
		g.Go(func() error { return rest.ServeOn(ctx, l, beside(public.Guarded(m))) })
	}
	if _, err := x.index.Sum(ctx, time.Now()); err != nil {
		return err
	}
	close(x.loaded)
	g.Go(func() error { return x.write(ctx) })
	g.Go(func() error { return x.sums(ctx) })
	g.Go(func() error { return x.probeAll(ctx) })
	g.Go(func() error { return x.others.hourly(ctx) })
	if x.chain != nil {
		g.Go(func() error { return x.follow(ctx) })
	}
	return g.Wait()
}

// take is what waits to be written.
func (x *Indexer) take() (c db.Change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.rigs {
		c.Rigs = append(c.Rigs, r)
	}
	for _, w := range x.wants {
		c.Wants = append(c.Wants, w)
	}
	for _, l := range x.leases {
		c.Leases = append(c.Leases, l)
	}
	x.leases = map[[3]string]db.Lease{}
	c.Probes, c.Delays = x.probes, x.delays
	x.rigs, x.probes, x.wants, x.delays = map[string]db.Rig{}, nil, map[slot]db.Want{}, nil
	if x.refused != x.told {
		c.Meta, x.told = map[string]string{db.MetaRefused: strconv.FormatInt(x.refused, 10)}, x.refused
	}
	return c
}

// putBack keeps what was not written, where nothing newer waits.
func (x *Indexer) putBack(c db.Change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range c.Rigs {
		if r.Seq > x.rigs[r.Peer].Seq && len(x.rigs) < maxWaiting {
			x.rigs[r.Peer] = r
		}
	}
	for _, w := range c.Wants {
		if k := (slot{w.Customer, uint8(w.Slot)}); w.Seq > x.wants[k].Seq && len(x.wants) < maxWants {
			x.wants[k] = w
		}
	}
	for _, l := range c.Leases {
		if old, waits := x.leases[l.Key()]; len(x.leases) < maxLeases && (!waits || l.Before(old)) {
			x.leases[l.Key()] = l
		}
	}
	x.told = -1
	x.delays = append(c.Delays, x.delays...)
	x.delays = x.delays[:min(len(x.delays), maxProbes)]
	x.probes = append(c.Probes, x.probes...)
	x.probes = x.probes[:min(len(x.probes), maxProbes)]
}

// write is the one writer: what has come goes in, at most every flushEvery. A database that fails is tried again.
func (x *Indexer) write(ctx context.Context) error {
	rest := flushEvery
	for wait := sweepEvery; ; wait = sweepEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-x.wake:
		case <-time.After(wait):
		}
		c := x.take()
		switch a, err := x.work.apply(ctx, x.index, c); {
		case err == nil:
			x.log.Debug("Index was written", "rigs", a.Rigs, "expired", a.Expired, "channels", a.Channels,
				"instructions", a.Txs, "wants", a.Wants, "leases", a.Leases)
			rest = flushEvery
			x.mu.Lock()
			x.refused += int64(a.Refused)
			x.mu.Unlock()
		case ctx.Err() == nil:
			x.log.Error("Index was not written", "error", err)
			x.putBack(c)
			rest = min(2*rest, retryMost)
			x.poke()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rest):
		}
	}
}

// sums makes the sums of the market when it has changed, and by the clock.
func (x *Indexer) sums(ctx context.Context) error {
	var kept time.Time
	for {
		changed := x.index.EventsChanged()
		began := time.Now()
		more, err := x.index.Clear(ctx)
		var m *db.Market
		if err == nil {
			m, err = x.index.Sum(ctx, began)
		}
		if err == nil && began.Sub(kept) >= bucketEvery {
			kept = began
			_, err = x.index.Apply(ctx, began, db.Change{Buckets: m.Hour()})
			changed = x.index.EventsChanged()
		}
		if err != nil && ctx.Err() == nil {
			x.log.Error("Market was not summed", "error", err)
		}
		quiet := max(sumLeast, sumShare*time.Since(began))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(quiet):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(map[bool]time.Duration{false: max(sumMost-quiet, 0)}[more]):
		}
	}
}
