// Package provider is the role that sells: it publishes the rig's Offer, quotes, accepts leases, runs their jobs and
// takes payment.
//
// Invariants: a Decision and its device rows are one commit; a voucher is on disk before its acknowledgement; one live
// lease per device.
// Concurrency: Provider's methods are safe for any goroutine; one leaseRun (goroutine and lease actor) per lease; mu
// guards the tables, the till its books, and no lock is held across I/O. Persistence: buckets leases, ticks, channels,
// shares, vouchers, devices, debts, offers, jobs. Next: quote.go, accept.go, run.go, pay.go,
// docs/flows/order.md.
package provider

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/outcomes"
	"github.com/gpuai/gpuai/node/provider/counter"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/job"
)

// Config is what the role needs to know; Policy is how it begins.
type Config struct {
	Network    string
	ClusterTag uint64
	Program    market.Address
	Key        ed25519.PrivateKey
	ID         market.NodeID
	Payout     market.Address
	FeePayer   market.Address
	Seed       [32]byte
	Policy     Policy
	Tick, Hold time.Duration
	Lent       Lent
	Dues       Dues
	Version    string
	Note       string // what the owner should know about the devices
	Selling    bool
	Private    bool // no lease is told to everybody
}

// Lent is what is lent out of the machine in all, beside its devices.
type Lent struct {
	CPUMilli   uint32
	RAM, Disk  uint64
	Egress     uint8 // widest class offered
	Resolvers  []string
	UplinkMbit uint32
}

// Dues are the rules of channels.
type Dues struct {
	MinCloseDelay time.Duration
	ClaimFee      market.Amount
	ChainEvery    time.Duration // how often live channels are read; 0 = 1 s
	// a channel without a lease, whose customer was not heard for so long, is ended by this node; 0 = never
	SealAfter time.Duration
	RentAfter time.Duration // so much later the storage deposit of it goes home; 0 = 7 days
	// until then no new lease on a channel of before the start: a forgotten Release may still live
	OldChannels time.Time
}

// Policy, Fitness and HandOver are of the role's owners.
type (
	Policy   = counter.Policy
	Fitness  = rig.Fitness
	HandOver = rig.HandOver
)

// Reach tells own addresses and how many peers hear us, and keeps connections.
type Reach interface {
	rig.Reach
	KeepConnected(id market.NodeID, addrs []string)
	Forget(id market.NodeID)
}

// Deps are the parts that the role joins.
type Deps struct {
	Store  *store.Store
	Ledger escrow.Ledger
	Runner job.Runner
	Access job.Access
	Pub    rig.Publisher
	Reach  Reach
	Clock  *lease.Clock
	Log    *slog.Logger
	Fit    Fitness // nil: the engine is taken as it is, for tests
	// Recheck asks for Fit before its time: something of the engine changed. nil: never.
	Recheck <-chan struct{}
	// Moved tells that Reach's addresses have changed. nil: never.
	Moved <-chan struct{}
	// HandOver: nil: GPUs are free as soon as their job is gone, for tests.
	HandOver HandOver
	// Ends tells everybody how leases ended; nil: nobody is told.
	Ends *outcomes.Teller
}

// Provider is the role, joined out of its owners. Use New, then Serve.
type Provider struct {
	*common
	*counter.Counter
	*rig.Rig
	*window
	*clerk
	books    *releases
	desk     *desk
	settler  *settler
	sessions *sessions
}

// New returns a provider that does nothing yet. devices: as measured, at least one.
func New(cfg Config, devices []gpu.Device, d Deps) *Provider {
	if cfg.Dues.ChainEvery <= 0 {
		cfg.Dues.ChainEvery = time.Second
	}
	c := &common{cfg: cfg, db: d.Store, clock: d.Clock, log: d.Log, loaded: make(chan struct{})}
	p := &Provider{common: c, sessions: newSessions(c.now, d.Log)}
	p.Rig = rig.New(rig.Config{
		Network: cfg.Network, Key: cfg.Key, ID: cfg.ID, Payout: cfg.Payout, Version: cfg.Version, Tick: cfg.Tick,
		MinCloseDelay: cfg.Dues.MinCloseDelay, CPUMilli: cfg.Lent.CPUMilli, RAM: cfg.Lent.RAM, Disk: cfg.Lent.Disk,
		Egress:  cfg.Lent.Egress,
		Selling: cfg.Selling,
	}, devices, rig.Deps{
		Store: d.Store, Runner: d.Runner, Pub: d.Pub, Reach: d.Reach, Now: c.now, Log: d.Log,
		Prices: func() rig.Prices { return p.Prices() }, Fit: d.Fit, Recheck: d.Recheck, Moved: d.Moved,
		HandOver: d.HandOver,
	})
	p.books = &releases{books: newBooks(c, newSums(c, p.ClassOf)), ledger: d.Ledger, keys: escrow.NewKeys(cfg.Seed),
		push: p.sessions.push}
	p.Counter = counter.New(counter.Config{
		Network: cfg.Network, ClusterTag: cfg.ClusterTag, Key: cfg.Key, Payout: cfg.Payout, FeePayer: cfg.FeePayer,
		Tick: cfg.Tick, Hold: cfg.Hold, MinCloseDelay: cfg.Dues.MinCloseDelay, Policy: cfg.Policy,
	}, counter.Deps{
		Store: d.Store, Rig: p.Rig, Books: p.books, Now: c.now, Log: d.Log, Heard: p.sessions.hear,
		Started: func(ctx context.Context) error { return c.started(ctx, p.Checked()) },
	})
	p.desk = newDesk(c, d, p.Rig, p.Counter, p.books, p.sessions)
	p.settler = newSettler(c, d.Ledger, p.books, p.desk, p.sessions)
	p.clerk = newClerk(c, d.Ledger, p.Rig, p.Counter, p.books, p.desk)
	p.window = &window{common: c, desk: p.desk, books: p.books, sessions: p.sessions, clerk: p.clerk, ends: d.Ends}
	p.desk.claim = p.settler.soon
	return p
}

func (p *Provider) String() string { return "provider" }

// Serve recovers what the store and the engine hold, then sells until ctx ends. Jobs run on when it returns.
func (p *Provider) Serve(ctx context.Context) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	p.sessions.begin()
	var wg sync.WaitGroup
	for _, serve := range []func(context.Context){
		p.clerk.serve, p.desk.serve, p.Rig.Serve, p.Counter.Serve, p.settler.serve, (&orphans{p.common, p.desk}).serve,
	} {
		wg.Go(func() { serve(ctx) })
	}
	close(p.loaded)
	wg.Wait()
	p.books.sums.tellSold()
	return ctx.Err()
}

// load reads the store, owner by owner.
func (p *Provider) load(ctx context.Context) error {
	for _, step := range []func() error{
		func() error { return p.Rig.Load(ctx) }, p.books.load, p.books.sums.load,
		func() error { return p.desk.load(ctx) }, p.Counter.Load, func() error { return p.books.rebook(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Loaded is closed once Serve has read the store.
func (p *Provider) Loaded() <-chan struct{} { return p.loaded }

// Earned is what the rig has brought, Days lists it by day since one, oldest first.
func (p *Provider) Earned() Earned { return p.books.Earned() }

// Days lists what devices brought since a day, oldest first.
func (p *Provider) Days(since time.Time) []DayEarned { return p.books.sums.Days(since) }

// Waits returns what waits for the payout account, as of the last look at the ledger.
func (p *Provider) Waits() Waits { return p.settler.Waits() }

// ReleaseRequest answers with a signed Release of a channel without live leases. Refusals: channel-unknown, lease-live,
// chain-unreachable, rate-limited.
func (p *Provider) ReleaseRequest(ctx context.Context, from market.NodeID, id market.ChannelID) ([114]byte, error) {
	return p.books.ReleaseRequest(ctx, from, id)
}
