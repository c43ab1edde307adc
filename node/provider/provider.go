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
	"github.com/gpuai/gpuai/node/provider/counter"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/node/till"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/job"
)

// Config is what the role needs to know; Policy is how it begins. CPUMilli, RAM and Disk are what is lent out in all.
type Config struct {
	Network       string
	ClusterTag    uint64
	Program       market.Address
	Key           ed25519.PrivateKey
	ID            market.NodeID
	Payout        market.Address
	FeePayer      market.Address
	Seed          [32]byte
	Policy        Policy
	Tick, Hold    time.Duration
	MinCloseDelay time.Duration
	ClaimFee      market.Amount
	CPUMilli      uint32
	RAM, Disk     uint64
	Egress        uint8 // widest class offered
	Resolvers     []string
	UplinkMbit    uint32
	Version       string
	Note          string // what the owner should know about the devices
	Selling       bool
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
}

// Provider is the role. Use New, then Serve.
type Provider struct {
	*counter.Counter
	*rig.Rig

	cfg    Config
	db     *store.Store
	ledger escrow.Ledger
	runner job.Runner
	access job.Access
	net    Reach
	clock  *lease.Clock
	log    *slog.Logger
	keys   escrow.Keys
	till   *till.Till[channelRow]

	mu       sync.Mutex
	deciding map[market.LeaseID]bool
	leases   map[market.LeaseID]*leaseRun
	refused  map[market.LeaseID]market.Decision // last 4,096, memory only
	channels map[market.ChannelID]*channel
	pushes   map[market.NodeID]*pusher
	heard    map[market.NodeID]time.Time // customers, when their node asked for something last
	began    time.Time
	debts    map[market.LeaseID]debt
	rentMin  market.Amount
	feeBal   market.Amount
	waits    Waits
	sumsMu   sync.Mutex // taken under the till's lock; p.mu may be taken under it
	sums     map[sumKey]sumRow
	sold     market.Amount // since this start
	soldJobs int
	quietly  bool // while the store is read: no log lines of old jobs

	serving context.Context // Serve's; nil before and after: nothing new is decided

	loaded chan struct{} // closed once the store is read: until then no lease is known
	settle chan struct{}
	start  chan *leaseRun
	wg     sync.WaitGroup
}

// New returns a provider that does nothing yet. devices: as measured, at least one.
func New(cfg Config, devices []gpu.Device, d Deps) *Provider {
	if cfg.ChainEvery <= 0 {
		cfg.ChainEvery = time.Second
	}
	p := &Provider{
		cfg: cfg, db: d.Store, ledger: d.Ledger, runner: d.Runner, access: d.Access, net: d.Reach, clock: d.Clock,
		log: d.Log, keys: escrow.NewKeys(cfg.Seed), till: till.New[channelRow](d.Store, till.Selling),
		deciding: map[market.LeaseID]bool{},
		leases:   map[market.LeaseID]*leaseRun{},
		refused:  map[market.LeaseID]market.Decision{}, channels: map[market.ChannelID]*channel{},
		pushes: map[market.NodeID]*pusher{}, heard: map[market.NodeID]time.Time{},
		sums: map[sumKey]sumRow{}, debts: map[market.LeaseID]debt{},
		loaded: make(chan struct{}), settle: make(chan struct{}, 1), start: make(chan *leaseRun, 64),
	}
	p.Rig = rig.New(rig.Config{
		Network: cfg.Network, Key: cfg.Key, ID: cfg.ID, Payout: cfg.Payout, Version: cfg.Version, Tick: cfg.Tick,
		MinCloseDelay: cfg.MinCloseDelay, CPUMilli: cfg.CPUMilli, RAM: cfg.RAM, Disk: cfg.Disk, Egress: cfg.Egress,
		Selling: cfg.Selling,
	}, devices, rig.Deps{
		Store: d.Store, Runner: d.Runner, Pub: d.Pub, Reach: d.Reach, Now: p.now, Log: d.Log,
		Prices: func() rig.Prices { return p.Prices() }, Fit: d.Fit, Recheck: d.Recheck, Moved: d.Moved,
		HandOver: d.HandOver,
	})
	p.Counter = counter.New(counter.Config{
		Network: cfg.Network, ClusterTag: cfg.ClusterTag, Key: cfg.Key, Payout: cfg.Payout, FeePayer: cfg.FeePayer,
		Tick: cfg.Tick, Hold: cfg.Hold, MinCloseDelay: cfg.MinCloseDelay, Policy: cfg.Policy,
	}, counter.Deps{
		Store: d.Store, Rig: p.Rig, Books: p, Now: p.now, Log: d.Log, Heard: p.hear,
		Started: func(ctx context.Context) error { return p.started(ctx, p.loaded, p.Checked()) },
	})
	return p
}

func (p *Provider) now() time.Time { return p.clock.Now() }
func (p *Provider) String() string { return "provider" }

// Serve recovers what the store and the engine hold, then sells until ctx ends. Jobs run on when it returns.
func (p *Provider) Serve(ctx context.Context) error {
	if err := p.recover(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.began = p.now()
	p.mu.Unlock()
	close(p.loaded)
	p.mu.Lock()
	p.serving = ctx
	p.mu.Unlock()
	defer p.tellSold()
	defer p.wg.Wait()
	defer func() {
		p.mu.Lock()
		p.serving = nil // no goroutine joins a group that is waited for
		p.mu.Unlock()
	}()
	p.wg.Go(func() { p.Rig.Serve(ctx) })
	p.wg.Go(func() { p.Counter.Serve(ctx) })
	p.wg.Go(func() { p.chainLoop(ctx) })
	p.wg.Go(func() { p.orphanLoop(ctx) })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l := <-p.start:
			p.wg.Go(func() { l.serve(ctx) })
		}
	}
}

// Loaded is closed once Serve has read the store.
func (p *Provider) Loaded() <-chan struct{} { return p.loaded }

// startWait is how long a request waits for a start that is under way: a customer asks anew on another connection after
// 1.5 s.
const startWait = time.Second

// started waits until all steps are done, for startWait. A peer that asks in a rig's first moments must not hear a "no"
// that holds only then: of a lease that is not read yet, of an engine that is not checked yet. Refusal: busy.
func (p *Provider) started(ctx context.Context, steps ...<-chan struct{}) error {
	t := time.NewTimer(startWait)
	defer t.Stop()
	for _, step := range steps {
		select {
		case <-step:
			continue
		default:
		}
		select {
		case <-step:
			continue
		case <-ctx.Done():
		case <-t.C:
		}
		r := market.Refuse(market.CodeBusy, market.KindUnavailable, "this rig is starting")
		r.RetryAfter = startWait
		return r
	}
	return nil
}

// ClaimFee is what a customer's open sends to the fee payer: 50,000 lamports by default, on a poor rig also what lacks
// to the rent minimum.
func (p *Provider) ClaimFee() market.Amount {
	p.mu.Lock()
	defer p.mu.Unlock()
	fee := p.cfg.ClaimFee
	if want := p.rentMin + p.cfg.ClaimFee; p.feeBal < want {
		fee = max(fee, want-p.feeBal)
	}
	return fee
}

// ReleaseKey is the public half of the key derived for this customer, our payout and the mint.
func (p *Provider) ReleaseKey(customer market.NodeID, mint market.Address) [32]byte {
	k, err := p.keys.Release(p.cfg.ClusterTag, customer, p.cfg.Payout, mint)
	if err != nil {
		return [32]byte{} // no release: the customer waits for the close delay
	}
	return escrow.PublicKey(k)
}

// pusher is the live voucher session of one customer.
type pusher struct {
	push func(streams.VoucherPush) error
}
