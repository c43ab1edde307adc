package nodetest

import (
	"context"
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

// custNet joins streams and upkeep, as node/wire.go does.
type custNet struct {
	*streams.Service
	*p2p.Host
}

// world is one provider and one customer.
type world struct {
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
	fit      provider.Fitness
	stopProv func() // ends the provider's role, as a killed process would; engine, ledger and store stay
}

// startProvider runs the provider's role on its store, engine and ledger, anew each time.
func (w *world) startProvider(t *testing.T) {
	t.Helper()
	w.prov = provider.New(w.pc, []gpu.Device{gpu.CPUSlot(w.ph.ID().String())}, provider.Deps{
		Store: w.pstore, Ledger: w.chain.Ledger(w.feePayer), Runner: w.engine, Access: w.engine, Pub: w.poffers, Reach: w.ph, Clock: w.clock, Log: w.plog, Fit: w.fit,
	})
	streams.New(w.ph.Libp2p(), w.ph.Network().Name, streams.Handlers{Quoter: w.prov, Leaser: w.prov, Vouchers: w.prov, Tunneler: w.prov}, w.plog).Register()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.prov.Serve(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	w.stopProv = sync.OnceFunc(func() {
		for _, name := range []string{"quote", "lease", "voucher", "tunnel"} {
			w.ph.Libp2p().RemoveStreamHandler(w.ph.Network().Protocol(name, 1))
		}
		for _, c := range w.ph.Libp2p().Network().Conns() { // a killed process's connections break
			_ = c.Close() // it may be closed already
		}
		cancel()
		wg.Wait()
	})
	t.Cleanup(w.stopProv)
}

func logger(t *testing.T, name string) *slog.Logger {
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("test", t.Name(), "node", name)
}

func newWorld(t *testing.T, work time.Duration, change func(*provider.Config, *customer.Config)) *world {
	t.Helper()
	w := &world{chain: escrowtest.NewChain(escrowtest.Options{Seed: t.Name(), SlotTime: 5 * time.Millisecond}), engine: NewEngine(work)}
	w.payout, w.payer = addr("payout"), addr("payer")
	feePayer := addr("fee")
	w.chain.Fund(w.payer, 1_000_000_000)
	w.chain.Fund(w.payout, 1_000_000)
	ph := p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(1), Roles: []string{"provider"}})
	ch := p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(2), Bootstrap: ph.FullAddrs()})
	network := ph.Network().Name

	pc := provider.Config{
		Network: network, ClusterTag: w.chain.ClusterTag(), Program: w.chain.Program(), Key: p2ptest.Key(1), ID: ph.ID(), Payout: w.payout,
		FeePayer: feePayer, Seed: [32]byte{1}, Rate: 3_600_000_000, Tick: time.Second, Hold: 3 * time.Second, MinCloseDelay: time.Hour,
		ClaimFee: 50_000, CPUMilli: 2000, RAM: 4 << 30, Disk: 40 << 30, Egress: market.EgressWeb, Version: "test", Selling: true,
	}
	cc := customer.Config{
		Network: network, ClusterTag: w.chain.ClusterTag(), Key: p2ptest.Key(2), ID: ch.ID(), Payer: w.payer, Program: w.chain.Program(),
		Seed: [32]byte{2}, Spool: t.TempDir(), AwayMax: 2_000_000,
	}
	if change != nil {
		change(&pc, &cc)
	}
	clock, err := lease.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	open := func(name string) *store.Store {
		s, err := store.Open(filepath.Join(t.TempDir(), name, "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	w.plog = logger(t, "provider")
	clog := logger(t, "customer")
	w.ph, w.pc, w.clock, w.pstore = ph, pc, clock, open("p")
	w.poffers = offers.New(ph, noSink{}, w.plog)
	w.feePayer = feePayer
	w.cust = customer.New(cc, open("c"), w.chain.Ledger(w.payer), custNet{streams.New(ch.Libp2p(), network, streams.Handlers{}, clog), ch}, clock, clog)
	coffers := offers.New(ch, w.cust, clog)
	serve := func(f func(context.Context) error) {
		p2ptest.Serve(t, func(ctx context.Context) error {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				return err
			}
			return nil
		})
	}
	serve(w.poffers.Serve)
	serve(coffers.Serve)
	w.startProvider(t)
	serve(w.cust.Serve)
	p2ptest.Eventually(t, "the offer did not arrive", func() bool { return len(w.cust.Offers()) == 1 })
	return w
}

func request(key string) customer.Request {
	return customer.Request{
		Key: key, Image: spec.ImageRef{Ref: "127.0.0.1/sample", Manifest: "sha256:" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Platform: "linux/amd64", CompressedBytes: 1000},
		Spec: spec.Spec{Command: []string{"/job"}, Outputs: []spec.Output{{Path: "/workspace/out.txt"}}}, Classes: []string{"cpu"}, Devices: 1, CPUMilli: 1000,
		RAM: 512 << 20, Disk: 1 << 30, Egress: market.EgressNone, MaxRate: 4_000_000_000, MaxTotal: 100_000_000, MaxDuration: 10 * time.Minute, StopGrace: time.Second,
	}
}

func (w *world) wait(t *testing.T, id market.OrderID, limit time.Duration, ok func(customer.View) bool) customer.View {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		v, err := w.cust.Order(id.String())
		if err != nil {
			t.Fatal(err)
		}
		if ok(v) {
			return v
		}
		if time.Now().After(end) {
			t.Fatalf("order stands at %s %s %s: %+v", v.Standing, v.Code, v.Detail, v.Steps)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func over(v customer.View) bool {
	return v.Standing == customer.StandingEnded || v.Standing == customer.StandingFailed
}

// TestFlow_FirstPaidJob runs an order from the book to the refund: what was deposited is paid or returned, to the unit.
func TestFlow_FirstPaidJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3*time.Second, nil)
	payoutBefore := w.chain.Balance(w.payout)
	id, err := w.cust.Place(context.Background(), request("one"))
	if err != nil {
		t.Fatal(err)
	}
	v := w.wait(t, id, 40*time.Second, over)
	if v.Standing != customer.StandingEnded || v.Code != "completed" {
		t.Fatalf("%s: %s %s; %+v", v.Standing, v.Code, v.Detail, v.Steps)
	}
	if !v.BothSigned || !v.OutputsReady {
		t.Errorf("outcome signed by both: %v, outputs here: %v", v.BothSigned, v.OutputsReady)
	}
	owed := v.Lease.Claim
	if want := market.Amount(2_800_000); owed < want || owed > 4_200_000 { // 3 s of 1,000,000 per second
		t.Errorf("owed %d for 3 s at 1,000,000/s", owed)
	}
	if got := w.chain.Balance(w.payout) - payoutBefore; got != owed || v.Paid != owed {
		t.Errorf("payout got %d, order says %d, owed %d", got, v.Paid, owed)
	}
	if v.Paid+v.Returned != v.Deposit {
		t.Errorf("deposit %d = paid %d + returned %d does not hold", v.Deposit, v.Paid, v.Returned)
	}
	p2ptest.Eventually(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
}

// TestFlow_ImageMissing_CostsNothing ends unpaid, says why, and frees the device.
func TestFlow_ImageMissing_CostsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Second, nil)
	r := request("missing")
	r.Image.Ref = "missing"
	id, err := w.cust.Place(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	v := w.wait(t, id, 40*time.Second, over)
	if v.Code != "image-not-found" || v.Paid != 0 || v.Returned != v.Deposit {
		t.Fatalf("%s %s: paid %d, returned %d of %d; %+v", v.Standing, v.Code, v.Paid, v.Returned, v.Deposit, v.Steps)
	}
	p2ptest.Eventually(t, "the device is not free again", func() bool {
		o := w.cust.Offers()
		return len(o) == 1 && len(o[0].Groups) == 1 && o[0].Groups[0].Free == 1
	})
}

// TestFlow_OrderTooLarge_Refused costs nothing and explains.
func TestFlow_OrderTooLarge_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Second, nil)
	r := request("large")
	r.Devices = 8
	id, err := w.cust.Place(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if v := w.wait(t, id, 10*time.Second, over); v.Code != "no-offer-fits" || v.Deposit != 0 {
		t.Fatalf("%s %s %s", v.Standing, v.Code, v.Detail)
	}
}

// TestFlow_Stop_PaysWhatRan ends a long job on the user's word.
func TestFlow_Stop_PaysWhatRan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour, nil)
	id, err := w.cust.Place(context.Background(), request("stop"))
	if err != nil {
		t.Fatal(err)
	}
	w.wait(t, id, 40*time.Second, func(v customer.View) bool { return v.Lease != nil && v.Lease.State == market.Running && v.Signed > 0 })
	if err := w.cust.StopOrder(context.Background(), id.String(), false); err != nil {
		t.Fatal(err)
	}
	v := w.wait(t, id, 40*time.Second, over)
	if v.Code != "stopped" || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit {
		t.Fatalf("%s %s: paid %d, claim %d, returned %d of %d", v.Standing, v.Code, v.Paid, v.Lease.Claim, v.Returned, v.Deposit)
	}
}

// TestFlow_ProviderRestarts_AdoptsAndBillsOnce ends the provider's role in the middle of a job: the job runs on, is adopted, and is paid to
// the unit; what nobody observed is free beyond one tick.
func TestFlow_ProviderRestarts_AdoptsAndBillsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 7*time.Second, nil)
	before := w.chain.Balance(w.payout)
	id, err := w.cust.Place(context.Background(), request("restart"))
	if err != nil {
		t.Fatal(err)
	}
	w.wait(t, id, 40*time.Second, func(v customer.View) bool {
		return v.Lease != nil && v.Lease.State == market.Running && v.Lease.ClaimMS > 1000
	})
	w.stopProv()
	time.Sleep(2500 * time.Millisecond) // the outage itself: 2.5 ticks
	w.startProvider(t)
	v := w.wait(t, id, 60*time.Second, over)
	if v.Code != "completed" || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit || w.chain.Balance(w.payout)-before != v.Paid {
		t.Fatalf("%s %s %s: paid %d, claim %d, returned %d of %d", v.Standing, v.Code, v.Detail, v.Paid, v.Lease.Claim, v.Returned, v.Deposit)
	}
	if v.Lease.ClaimMS > 6500 || v.Lease.ClaimMS < 4000 { // 7 s of work, of which 2.5 s less one tick were not seen
		t.Errorf("billed %d ms of 7 s with a 2.5 s outage at a tick of 1 s", v.Lease.ClaimMS)
	}
}

func addr(name string) market.Address {
	return market.Address(p2ptest.NodeID(p2ptest.Key(name[0] + name[len(name)-1]))) // any Ed25519 public key is a plain account
}
