// Package provider is the role that sells: it publishes the rig's Offer, quotes, accepts leases, runs their jobs and
// takes payment.
//
// Invariants: a Decision and its device rows are one commit; a voucher is on disk before its acknowledgement; one live
// lease per device.
// Concurrency: Provider's methods are safe for any goroutine; one leaseRun (goroutine and lease actor) per lease; mu
// guards the tables, a channel's own lock its account, and no lock is held across I/O but the store's commit.
// Persistence: buckets leases, channels, devices, debts, offers, jobs. Next: quote.go, accept.go, run.go, pay.go,
// docs/flows/order.md.
package provider

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
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

// Publisher sends an own Offer to everybody.
type Publisher interface {
	Publish(ctx context.Context, raw []byte) error
}

// Reach tells own addresses and how many peers hear us.
type Reach interface {
	Addrs() []string
	Peers() int
	KeepConnected(id market.NodeID, addrs []string)
	Forget(id market.NodeID)
}

// Deps are the parts that the role joins.
type Deps struct {
	Store  *store.Store
	Ledger escrow.Ledger
	Runner job.Runner
	Access job.Access
	Pub    Publisher
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
	cfg     Config
	db      *store.Store
	ledger  escrow.Ledger
	runner  job.Runner
	access  job.Access
	pub     Publisher
	net     Reach
	clock   *lease.Clock
	log     *slog.Logger
	keys    escrow.Keys
	fitness Fitness
	recheck <-chan struct{}
	moved   <-chan struct{}

	handOver  HandOver
	devices   []gpu.Device
	deviceIDs []market.DeviceID

	mu       sync.Mutex
	selling  bool
	policy   Policy
	health   health
	offerSeq uint64
	offerID  market.DocID
	told     []string // addresses in the last Offer
	rows     map[market.DeviceID]deviceRow
	quotes   map[market.DocID]*quoted
	held     map[holdKey]*hold
	wasted   map[market.NodeID]*rate.Limiter
	deciding map[market.LeaseID]bool
	leases   map[market.LeaseID]*leaseRun
	refused  map[market.LeaseID]market.Decision // last 4,096, memory only
	channels map[market.ChannelID]*channel
	pushes   map[market.NodeID]*pusher
	heard    map[market.NodeID]time.Time // customers, when their node asked for something last
	began    time.Time
	debts    map[market.LeaseID]debt
	paidBy   map[string]bool // payer and node keys with a paid lease here
	rentMin  market.Amount
	feeBal   market.Amount
	waits    Waits
	asks     asks
	stood    standing
	sumsMu   sync.Mutex // taken under a channel's lock; p.mu may be taken under it
	sums     map[sumKey]sumRow
	sold     market.Amount // since this start
	soldJobs int
	quietly  bool // while the store is read: no log lines of old jobs

	serving context.Context // Serve's; nil before and after: nothing new is decided

	loaded  chan struct{} // closed once the store is read: until then no lease is known
	checked chan struct{} // closed once the engine was checked: until then it is not known what may be sold
	once    sync.Once
	changed chan struct{}
	settle  chan struct{}
	start   chan *leaseRun
	wg      sync.WaitGroup
}

// New returns a provider that does nothing yet. devices: as measured, at least one.
func New(cfg Config, devices []gpu.Device, d Deps) *Provider {
	if cfg.ChainEvery <= 0 {
		cfg.ChainEvery = time.Second
	}
	p := &Provider{
		cfg: cfg, db: d.Store, ledger: d.Ledger, runner: d.Runner, access: d.Access, pub: d.Pub, net: d.Reach,
		clock: d.Clock, log: d.Log, fitness: d.Fit, recheck: d.Recheck, moved: d.Moved,
		handOver: d.HandOver,
		keys:     escrow.NewKeys(cfg.Seed), devices: devices, selling: cfg.Selling, policy: cfg.Policy,
		rows: map[market.DeviceID]deviceRow{}, quotes: map[market.DocID]*quoted{}, held: map[holdKey]*hold{},
		wasted: map[market.NodeID]*rate.Limiter{}, deciding: map[market.LeaseID]bool{},
		leases:  map[market.LeaseID]*leaseRun{},
		refused: map[market.LeaseID]market.Decision{}, channels: map[market.ChannelID]*channel{},
		pushes: map[market.NodeID]*pusher{}, heard: map[market.NodeID]time.Time{},
		sums: map[sumKey]sumRow{}, debts: map[market.LeaseID]debt{}, paidBy: map[string]bool{},
		loaded: make(chan struct{}), checked: make(chan struct{}), changed: make(chan struct{}, 1),
		settle: make(chan struct{}, 1), start: make(chan *leaseRun, 64),
	}
	for _, d := range devices {
		p.deviceIDs = append(p.deviceIDs, market.DeviceIDOf(d.UUID))
	}
	return p
}

func (p *Provider) now() time.Time  { return p.clock.Now() }
func (p *Provider) reach() []string { return p.net.Addrs() }
func (p *Provider) peersSeen() int  { return p.net.Peers() }
func (p *Provider) String() string  { return "provider" }

// Serve recovers what the store and the engine hold, then sells until ctx ends. Jobs run on when it returns.
func (p *Provider) Serve(ctx context.Context) error {
	if err := p.recover(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	p.began = p.now()
	p.mu.Unlock()
	close(p.loaded)
	p.learnIdle(ctx)
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
	p.wg.Go(func() { _ = p.publishLoop(ctx) }) // ends with ctx only
	p.wg.Go(func() { p.moveLoop(ctx) })
	p.wg.Go(func() { p.keepAsks(ctx) })
	p.wg.Go(func() { p.fitLoop(ctx) })
	p.wg.Go(func() { p.chainLoop(ctx) })
	p.wg.Go(func() { p.orphanLoop(ctx) })
	p.wg.Go(func() { p.quarantineLoop(ctx) })
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

// started waits until step is closed, for startWait. A peer that asks in a rig's first moments must not hear a "no"
// that holds only then: of a lease that is not read yet, of an engine that is not checked yet. Refusal: busy.
func (p *Provider) started(ctx context.Context, step <-chan struct{}) error {
	select {
	case <-step:
		return nil
	default:
	}
	t := time.NewTimer(startWait)
	defer t.Stop()
	select {
	case <-step:
		return nil
	case <-ctx.Done():
	case <-t.C:
	}
	return refuseUntil("busy", market.KindUnavailable, "this rig is starting", startWait)
}

// SetSelling withdraws or lists the rig; live leases are not touched.
func (p *Provider) SetSelling(on bool) {
	p.mu.Lock()
	p.selling = on
	p.stood.note(p.sells(), p.why(), time.Now())
	p.mu.Unlock()
	p.offerChanged()
}

// claimFee is what a customer's open sends to the fee payer: 50,000 lamports by default, on a poor rig also what lacks
// to the rent minimum. Caller holds mu.
func (p *Provider) claimFee() market.Amount {
	fee := p.cfg.ClaimFee
	if want := p.rentMin + p.cfg.ClaimFee; p.feeBal < want {
		fee = max(fee, want-p.feeBal)
	}
	return fee
}

// releaseKey is the public half of the key derived for this customer, our payout and the mint.
func (p *Provider) releaseKey(customer market.NodeID, mint market.Address) [32]byte {
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
