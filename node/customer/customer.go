// Package customer is the role that buys: it keeps the book of offers, places orders, pays by vouchers and brings
// outputs home.
//
// Invariants: a Lease's bytes are on disk before they are sent; a voucher is on disk before it is sent; nothing is
// signed above the lease's cap, the order's budget or the channel's deposit. Concurrency: one goroutine per due effect
// of an order, one session per provider; Customer's methods are safe for any goroutine. Persistence: buckets orders,
// leases, channels. Next: buy.go, run.go, session.go.
package customer

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer/purse"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/outcomes"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/streams"
)

// Net is how the customer reaches providers; p2p joined by node/buyer.go.
type Net interface {
	Quote(ctx context.Context, to market.NodeID, reach []string, order []byte) ([]byte, error)
	Propose(ctx context.Context, to market.NodeID, lease []byte) error
	Status(ctx context.Context, to market.NodeID, id market.LeaseID) (market.Status, error)
	Stop(ctx context.Context, to market.NodeID, stop []byte) error
	Amend(ctx context.Context, to market.NodeID, amend []byte) error
	Outcome(ctx context.Context, to market.NodeID, outcome []byte) ([]byte, error)
	Vouchers(ctx context.Context, to market.NodeID) (streams.VoucherSession, error)
	Tunnel(ctx context.Context, to market.NodeID, o streams.TunnelOpen) (*streams.FrameConn, error)
	KeepConnected(id market.NodeID, addrs []string)
	Forget(id market.NodeID)
	HangUp(id market.NodeID)
	// Relayed connects to a provider and reports whether it is reached over a relay only, once it had its time to
	// become direct. Error: peer-unreachable.
	Relayed(ctx context.Context, id market.NodeID, reach []string) (bool, error)
	// Publish tells the market a Want; Addrs are where providers can reply to it.
	Publish(ctx context.Context, want []byte) error
	Addrs() []string
	// Heard takes the Offer that its own provider has sent and returns the newest one that is held of it. Errors: it is
	// not that provider's.
	Heard(from market.NodeID, offer []byte) (market.Offer, []byte, error)
	// Seek looks for rigs that the book does not know, of classes or of any, without waiting; true: the look-up goes
	// on.
	Seek(classes []string) bool
	// Hear keeps this node for a while where Offers of classes are gossiped.
	Hear(classes []string)
}

// Config is what the role needs to know; durations and amounts as in node/config.
type Config struct {
	Network    string
	ClusterTag uint64
	Key        ed25519.PrivateKey
	ID         market.NodeID
	Payer      market.Address
	Program    market.Address
	Seed       [32]byte      // voucher seed
	Spool      string        // folder for inputs, outputs and logs
	LogMax     int64         // bytes on disk per job's log; 0 = 256 MiB
	SpoolMax   uint64        // bytes; 0 = no bound
	SpoolKeep  time.Duration // how long fetched outputs stay; 0 = 7 days
	InputsWait time.Duration // how long an order waits for its inputs; 0 = 24 h
	Away       time.Duration
	AwayMax    market.Amount
	AwayAfter  time.Duration // 0 = 2 min, see market.Terms
	SilentEnd  time.Duration
	ChainEvery time.Duration // how often own channels are read; 0 = 1 s
	Quiet      bool          // no gossip: the market is never told what an order waits for
	KeepIdle   time.Duration // a kept channel without a job is closed after it; 0 = 24 h
	Sound      Sounder       // nil: distances are those that Near is told
}

// Customer is the role. Use New, then Serve.
type Customer struct {
	*orders
	Spool        *Spool
	Book         *Book
	Quotes       *Quotes
	*purse.Purse                  // channels and the money in them
	Ends         *outcomes.Teller // tells everybody how leases ended; nil: nobody. Set it before Serve

	cfg    Config
	db     *store.Store
	ledger escrow.Ledger
	net    *paced
	clock  *lease.Clock
	log    *slog.Logger

	sessions sessions
	wants    *wants
	replies  *replies // the net's

	ready chan struct{}   // closed once the store is read: an order that is placed again must be known
	base  context.Context // of Serve, set when ready is closed
	wg    sync.WaitGroup
}

// New returns a customer that does nothing yet.
func New(cfg Config, db *store.Store, ledger escrow.Ledger, net Net, clock *lease.Clock, log *slog.Logger) *Customer {
	if cfg.ChainEvery <= 0 {
		cfg.ChainEvery = time.Second
	}
	if cfg.KeepIdle == 0 {
		cfg.KeepIdle = keepIdle
	}
	if cfg.InputsWait == 0 {
		cfg.InputsWait = inputsWait
	}
	c := &Customer{
		cfg: cfg, db: db, net: newPaced(net), clock: clock, ledger: ledger, log: log,
		ready: make(chan struct{}),
	}
	c.wants, c.replies = newWants(c), &c.net.replies
	c.sessions.c, c.sessions.of = c, map[market.NodeID]*session{}
	c.Purse = purse.New(purse.Config{ClusterTag: cfg.ClusterTag, Payer: cfg.Payer, Program: cfg.Program, Seed: cfg.Seed,
		Every: cfg.ChainEvery}, db, ledger, buyers{c}, c.now, log)
	c.orders = &orders{c: c, archive: archive{db: db, kick: make(chan struct{}, 1)},
		runs: map[market.OrderID]*orderRun{}}
	c.Spool = newSpool(&c.cfg, c.orders, log)
	c.Book = newBook(&c.cfg, db, clock, log)
	c.Quotes = &Quotes{cfg: &c.cfg, net: c.net, ledger: ledger, clock: clock, terms: knownTerms{},
		purse: c.Purse, paths: paths{c.net, c.Book}}
	return c
}

func (c *Customer) now() time.Time { return c.clock.Now() }

// Serve loads what the store knows, resumes it, and places new orders until ctx ends; jobs run on.
func (c *Customer) Serve(ctx context.Context) error {
	if err := c.load(); err != nil {
		return err
	}
	if err := c.wants.load(); err != nil {
		return err
	}
	c.Book.loadMarks()
	c.base = ctx
	close(c.ready)
	defer c.wg.Wait()
	c.resume(ctx)
	c.wg.Go(func() { c.Purse.Serve(ctx) })
	c.wg.Go(func() { c.archive.tend(ctx, c.orders) })
	c.wg.Go(func() { c.Spool.tend(ctx, c.tidy) })
	c.wg.Go(func() { c.wants.serve(ctx) })
	<-ctx.Done()
	return ctx.Err()
}

// serving is the context of Serve; nil before it has read the store.
func (c *Customer) serving() context.Context {
	select {
	case <-c.ready:
		return c.base
	default:
		return nil
	}
}

// whenRead waits until the store is read.
func (c *Customer) whenRead(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Loaded is closed once Serve has read the store.
func (c *Customer) Loaded() <-chan struct{} { return c.ready }

// Hear has this node hear of Offers of classes for a while: it is about to look at its book for them.
func (c *Customer) Hear(classes []string) { c.net.Hear(classes) }

func (c *Customer) String() string { return "customer" }
