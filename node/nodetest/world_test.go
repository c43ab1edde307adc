package nodetest

import (
	"context"
	"log/slog"
	"os"
	"strings"
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
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/spec"
)

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

// world is one provider and one customer, each a node made by node.New.
type world struct {
	net    p2ptest.World
	sim    *p2ptest.Net // the same, if it is simulated
	relay  *p2p.Host    // where the setup has one
	chain  *escrowtest.Chain
	engine *runtimetest.Fake
	prov   *provider.Provider
	cust   *customer.Customer
	payout market.Address
	payer  market.Address

	p        *side
	ph       *p2p.Host
	pc       provider.Config
	pstore   *store.Store
	clock    *lease.Clock
	feePayer market.Address
	setup    setup
	stopProv func() // ends the provider's node; engine, ledger and store's file stay

	c        *side
	ch       *p2p.Host
	cc       customer.Config
	cstore   *store.Store
	clog     *slog.Logger
	sw       *switches
	wallet   ledger
	stopCust func() // the same for the customer's node
	files    map[string]string

	accounts map[market.Address]*escrowtest.Ledger // others that outlive their node
}

// startProvider runs the provider's node on its folder, engine and ledger, anew each time.
func (w *world) startProvider(t *testing.T) {
	t.Helper()
	n, stop := w.run(t, w.p, &w.pstore)
	w.prov, w.ph, w.stopProv = n.Provider(), n.Host(), stop
}

// startCustomer runs the customer's node on its folder and wallet, anew each time. The book of offers comes by sync: it
// is kept in memory.
func (w *world) startCustomer(t *testing.T) {
	t.Helper()
	n, stop := w.run(t, w.c, &w.cstore)
	w.cust, w.ch, w.stopCust = n.Customer(), n.Host(), stop
}

// serveUntil runs a service until stop, which waits for its end.
func serveUntil(t *testing.T, f func(context.Context) error) (stop func()) {
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
	circuit [2]string // how long a circuit of the relay lasts, and what it carries; empty: the defaults
	relayed bool      // the two reach each other over a relay only, see relay
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
	sim, _ := net.(*p2ptest.Net)
	w := &world{net: net, sim: sim, chain: chain, engine: runtimetest.NewWorker(s.work), setup: s, clock: clock,
		sw: &switches{}}
	w.payout, w.payer, w.feePayer = addr("payout"), addr("payer"), addr("fee")
	w.chain.Fund(w.payer, 100_000_000_000)
	own := w.chain.Ledger(w.payer)
	w.wallet = ledger{own, own, w.sw}
	w.chain.Fund(w.payout, 1_000_000)
	w.clog = logger(t, "customer")
	w.sides(t)
	if s.relayed {
		w.behindRelay(t)
	}
	w.startProvider(t)
	if !s.relayed {
		w.c.set["p2p.bootstrap"] = strings.Join(w.ph.FullAddrs(), ",")
	}
	w.startCustomer(t)
	if s.relayed {
		w.sim.Partition([]*p2p.Host{w.ph}, []*p2p.Host{w.ch})
	}
	until(t, "the offer did not arrive", func() bool { return len(w.cust.Book.Offers()) == 1 })
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

// openStore opens the store of "p" or "c", whose node is down.
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
func (w *world) exact(t *testing.T, v customer.View, code market.Code, payoutBefore market.Amount) {
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
