package nodetest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/spec"
)

type noSink struct{}

func (noSink) Offer(market.Offer, []byte) {}

// What a second and a tick of the simulated worlds cost: the rate is 3.6 SOL an hour.
const (
	second    = market.Amount(1_000_000)
	tickPrice = 10 * second
)

// patience is how long tests wait for what must come: virtual time, but on loopback.
const patience = 5 * time.Minute

// until waits for what other goroutines make true.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// world is one provider and one customer.
type world struct {
	net    p2ptest.World
	sim    *p2ptest.Net // the same, if it is simulated
	chain  *escrowtest.Chain
	engine *Engine
	prov   *provider.Provider
	cust   *customer.Customer
	payout market.Address
	payer  market.Address

	ph       *p2p.Host
	pc       provider.Config
	pstore   *store.Store
	poffers  *offers.Service
	plog     *slog.Logger
	clock    *lease.Clock
	feePayer market.Address
	setup    setup
	stopProv func() // ends the provider's role, as a killed process would; engine, ledger and store stay

	ch       *p2p.Host
	cc       customer.Config
	cstore   *store.Store
	clog     *slog.Logger
	sw       *switches
	wallet   ledger
	stopCust func() // the same for the customer's role
	files    map[string]string
}

// startProvider runs the provider's role on its store, engine and ledger, anew each time.
func (w *world) startProvider(t *testing.T) {
	t.Helper()
	devices := []gpu.Device{gpu.CPUSlot(w.ph.ID().String())}
	for i := 1; i < w.setup.devices; i++ {
		d := gpu.CPUSlot(fmt.Sprintf("%s/%d", w.ph.ID(), i))
		if w.setup.classes {
			d.Class = fmt.Sprintf("slot-%d", i)
		}
		devices = append(devices, d)
	}
	for i := range devices {
		if w.setup.hand != nil {
			devices[i].Kind = gpu.KindSim
		}
	}
	prov := provider.New(w.pc, devices, provider.Deps{
		Store: w.pstore, Ledger: w.chain.Ledger(w.feePayer), Runner: w.engine, Access: w.engine, Pub: w.poffers,
		Reach: w.ph, Clock: w.clock, Log: w.plog, Fit: w.setup.fit,
		HandOver: w.setup.hand, Moved: w.ph.Moved(),
	})
	w.prov = prov
	streams.New(w.ph,
		streams.Handlers{Quoter: prov, Leaser: prov, Vouchers: prov, Tunneler: prov}, w.plog)
	stop := serve(t, prov.Serve)
	w.stopProv = sync.OnceFunc(func() {
		for _, name := range []string{"quote", "lease", "voucher", "tunnel"} {
			w.ph.Libp2p().RemoveStreamHandler(w.ph.Network().Protocol(name, 1))
		}
		for _, c := range w.ph.Libp2p().Network().Conns() { // a killed process's connections break
			_ = c.Close() // it may be closed already
		}
		stop()
	})
	t.Cleanup(w.stopProv)
}

// startCustomer runs the customer's role on its store and wallet, anew each time. The book of offers comes with it: it
// is kept in memory.
func (w *world) startCustomer(t *testing.T) {
	t.Helper()
	old := w.cust
	cust := customer.New(w.cc, w.cstore, w.wallet,
		custNet{streams.New(w.ch, streams.Handlers{}, w.clog), w.ch, w.sw}, w.clock,
		w.clog)
	w.sw.mu.Lock()
	w.cust = cust
	for _, raw := range w.sw.offers {
		cust.Offer(raw.offer, raw.raw)
	}
	w.sw.mu.Unlock()
	if old != nil {
		w.sw.hangUp()
	}
	stop := serve(t, cust.Serve)
	w.stopCust = sync.OnceFunc(func() { stop(); w.sw.hangUp() })
	t.Cleanup(w.stopCust)
}

// serve runs a role until stop, which waits for its end.
func serve(t *testing.T, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func logger(t *testing.T, name string) *slog.Logger {
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("test", t.Name(), "node",
		name)
}

// setup is the world that a test wants. The zero value is a rig of one CPU slot whose jobs end at once.
type setup struct {
	devices int               // CPU slots of the rig, 0 is 1
	work    time.Duration     // how long each job runs
	classes bool              // each device but the first is of a class of its own
	hand    provider.HandOver // nil: CPU slots; else the devices are simulated GPUs
	fit     provider.Fitness
	change  func(*provider.Config, *customer.Config)
}

// simulate runs f on a world in virtual time, with the product's own tick, hold and slot time. However busy the machine
// is, no time passes while anything works, so what is billed is exact. f is in the bubble: its sleeps are virtual, its
// t takes no Parallel and no Run.
func simulate(t *testing.T, s setup, f func(t *testing.T, w *world)) {
	t.Helper()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		start := time.Now()
		clock, err := lease.ClockOf(func() (time.Duration, error) { return time.Hour + time.Since(start), nil },
			"virtual")
		if err != nil {
			t.Fatal(err)
		}
		// its clock is the world's
		chain := escrowtest.NewChain(escrowtest.Options{Seed: t.Name(), SlotTime: 400 * time.Millisecond, Start: start})
		w := build(t, n, clock, chain, s)
		w.sim = n
		f(t, w)
	})
}

// manyMinutes marks a test of so much virtual time that it costs seconds of the processor, and ten times as many under
// the race detector.
func manyMinutes(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("many minutes of virtual time")
	}
}

// loopback is a world in real time: real packets, and the longest hold there is. What its tests assert may not depend
// on how long anything takes, so jobs run until they are told to end.
func loopback(t *testing.T) *world {
	t.Helper()
	clock, err := lease.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	chain := escrowtest.NewChain(escrowtest.Options{Seed: t.Name(), SlotTime: 5 * time.Millisecond})
	return build(t, p2ptest.Loopback{}, clock, chain,
		setup{work: time.Hour, change: func(p *provider.Config, _ *customer.Config) { p.Hold = 10 * time.Minute }})
}

// build makes a world on a network, real or simulated, with the clock and the ledger that go with it.
func build(t *testing.T, net p2ptest.World, clock *lease.Clock, chain *escrowtest.Chain, s setup) *world {
	t.Helper()
	w := &world{net: net, chain: chain, engine: NewEngine(s.work), setup: s, clock: clock, sw: &switches{}}
	w.payout, w.payer, w.feePayer = addr("payout"), addr("payer"), addr("fee")
	w.chain.Fund(w.payer, 100_000_000_000)
	w.wallet = ledger{w.chain.Ledger(w.payer), w.sw}
	w.chain.Fund(w.payout, 1_000_000)
	w.ph = net.Start(t, p2p.Config{Key: p2ptest.Key(1), Roles: []string{"provider"}})
	w.ch = net.Start(t, p2p.Config{Key: p2ptest.Key(2), Bootstrap: w.ph.FullAddrs()})
	network := w.ph.Network().Name

	w.pc = provider.Config{
		Network: network, ClusterTag: w.chain.ClusterTag(), Program: w.chain.Program(), Key: p2ptest.Key(1),
		ID: w.ph.ID(), Payout: w.payout,
		FeePayer: w.feePayer, Seed: [32]byte{1}, Policy: provider.Policy{Rate: 3_600_000_000}, Tick: 10 * time.Second,
		Hold:          2 * time.Minute,
		MinCloseDelay: time.Hour, ClaimFee: 50_000, CPUMilli: 2000, RAM: 4 << 30, Disk: 40 << 30,
		Egress: market.EgressWeb, Version: "test", Selling: true,
	}
	w.cc = customer.Config{
		Network: network, ClusterTag: w.chain.ClusterTag(), Key: p2ptest.Key(2), ID: w.ch.ID(), Payer: w.payer,
		Program: w.chain.Program(),
		Seed:    [32]byte{2}, Spool: t.TempDir(), AwayMax: 2_000_000_000,
	}
	if s.change != nil {
		s.change(&w.pc, &w.cc)
	}
	w.files = map[string]string{"p": filepath.Join(t.TempDir(), "p", "state.db"),
		"c": filepath.Join(t.TempDir(), "c", "state.db")}
	open := func(name string) *store.Store { return w.openStore(t, name) }
	w.plog, w.clog = logger(t, "provider"), logger(t, "customer")
	w.pstore, w.cstore = open("p"), open("c")
	w.poffers = offers.New(w.ph, noSink{}, w.plog)
	coffers := offers.New(w.ch, w.sw.keep(func() *customer.Customer { return w.cust }), w.clog)
	t.Cleanup(serve(t, w.poffers.Serve))
	t.Cleanup(serve(t, coffers.Serve))
	w.startCustomer(t)
	w.startProvider(t)
	until(t, "the offer did not arrive", func() bool { return len(w.cust.Offers()) == 1 })
	// the first Offer may be of before the check
	until(t, "the rig does not sell", func() bool { return !w.pc.Selling || w.prov.View().Selling })
	return w
}

func request(key string) customer.Request {
	f := spec.NewFile("127.0.0.1/sample")
	f.Command, f.Outputs = []string{"/job"}, []spec.Output{{Path: "/workspace/out.txt"}}
	f.CPUMilli, f.Memory, f.Disk, f.Shm, f.Egress = 1000, 512<<20, 1<<30, 0, market.EgressNone
	f.Limits = spec.FileLimits{MaxRate: 4_000_000_000, MaxTotal: 1_000_000_000, MaxDuration: 10 * time.Minute}
	return customer.Request{
		Key: key, File: f, Image: spec.ImageRef{Ref: "127.0.0.1/sample",
			Manifest: "sha256:" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			Platform: "linux/amd64", CompressedBytes: 1000},
	}
}

// openStore opens the store of "p" or "c".
func (w *world) openStore(t *testing.T, name string) *store.Store {
	t.Helper()
	s, err := store.Open(w.files[name])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// place puts an order in.
func (w *world) place(t *testing.T, r customer.Request) market.OrderID {
	t.Helper()
	id, err := w.cust.Place(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// await waits until an order is as ok says.
func (w *world) await(t *testing.T, id market.OrderID, ok func(customer.View) bool) customer.View {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		v, err := w.cust.Order(id.String())
		if err == nil && ok(v) { // a customer that has just started again may not have read it yet
			return v
		}
		if time.Now().After(end) {
			t.Fatalf("order stands at %s %s %s (%v): %+v", v.Standing, v.Code, v.Detail, err, v.Steps)
		}
	}
}

func over(v customer.View) bool {
	return v.Standing == customer.StandingEnded || v.Standing == customer.StandingFailed
}

// in reports that the customer sees its lease in a state.
func in(s market.LeaseState) func(customer.View) bool {
	return func(v customer.View) bool { return v.Lease != nil && v.Lease.State == s }
}

// running reports that the lease runs and something is paid.
func running(v customer.View) bool { return in(market.Running)(v) && v.Signed > 0 }

// sold is the provider's lease of an order.
func (w *world) sold(t *testing.T, v customer.View) market.Lease {
	t.Helper()
	for _, l := range w.prov.Leases() {
		if v.Lease != nil && l.Lease.ID == v.Lease.ID {
			return l.Lease
		}
	}
	t.Fatalf("the provider does not know the lease of order %s", v.ID)
	return market.Lease{}
}

// exact fails unless the order ended with code, paid to the unit what was metered, and got the rest back.
func (w *world) exact(t *testing.T, v customer.View, code string, payoutBefore market.Amount) {
	t.Helper()
	if v.Code != code || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit ||
		w.chain.Balance(w.payout)-payoutBefore != v.Paid {
		t.Errorf("%s %s %s, want %s: paid %d, claim %d, payout got %d, returned %d of %d; %+v", v.Standing, v.Code,
			v.Detail, code, v.Paid, v.Lease.Claim,
			w.chain.Balance(w.payout)-payoutBefore, v.Returned, v.Deposit, v.Steps)
	}
}

func addr(name string) market.Address {
	// any Ed25519 public key is a plain account
	return market.Address(p2ptest.NodeID(p2ptest.Key(name[0] + name[len(name)-1])))
}
