package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/leases"
	"github.com/gpuai/gpuai/node/backend/selling"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/provider/reply"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/docker"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// localDiskFloor must stay free on a local network's engine, which is often a small machine's: 20 GiB elsewhere.
const localDiskFloor = 1 << 30

// Seller is the provider's role as a guest, with the engine that it opened.
type Seller struct {
	*provider.Provider
	engine  Engine
	replies *reply.Replier
}

// Close ends the engine's workers; jobs run on.
func (s Seller) Close() error { return s.engine.Close() }

func newSeller(ctx context.Context, s *Site) (Role, error) {
	c := s.Config.Provider
	local := s.Host.Network().Local
	if !local && (len(c.Simulate) > 0 || c.AllowWeakRuntime || time.Duration(c.Tick) < 5*time.Second) {
		return nil, &market.Error{Code: market.CodeConfigInvalid, Kind: market.KindInvalid, Op: "start provider",
			Detail: "simulated GPUs, weak runtimes and ticks below 5 s are for localnet only",
			Hint:   "gpuai config show"}
	}
	pc, err := providerConfig(s)
	if err != nil {
		return nil, err
	}
	gc := gpu.Config{Simulate: c.Simulate, PeerID: s.Host.ID().String()}
	devices, err := s.deps.Devices(ctx, gc)
	if err != nil && len(c.Simulate) > 0 { // a word of the user's, not a driver's
		return nil, invalid("provider.simulate_gpu", err.Error())
	}
	if err != nil {
		s.Log.Warn("GPUs were not measured", "error", err)
		pc.Note = "GPUs were not measured, only the CPU is sold: " + err.Error()
	}
	for i := range devices {
		s.Log.Info("Device", "class", devices[i].Class, "uuid", devices[i].UUID)
	}
	dc := docker.Config{Peer8: s.Host.ID().Short(), Host: c.DockerHost, AllowWeakRuntime: c.AllowWeakRuntime,
		Resolvers: c.Resolvers}
	if local {
		dc.DiskFloor = localDiskFloor
	}
	engine, err := s.deps.Engine(dc, memory{s.Store}, s.Log.With("part", "docker"))
	if err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	s.deps.Provider(&pc)
	p := provider.New(pc, devices, provider.Deps{
		Store: s.Store, Ledger: s.Fees, Runner: engine, Access: engine, Pub: s.Offers, Reach: s.Host, Clock: s.Clock,
		Log: s.Log.With("role", "provider"), Fit: engine.Fit, Recheck: engine.DiskLow(), Moved: s.Host.Moved(),
		HandOver: s.deps.HandOver(gc), Ends: s.Ends,
	})
	st := streams.New(s.Host, streams.Handlers{Quoter: p, Leaser: p, Vouchers: p, Tunneler: p},
		s.Log.With("part", "streams"))
	r := reply.New(s.Host.ID(), local, answers{st, gossip{s.Offers}}, p, s.Log.With("part", "wants"))
	s.Offers.Attach(r)
	return Seller{p, engine, r}, nil
}

// answers are how Wants are heard and answered.
type answers struct {
	*streams.Service
	gossip
}

// Serve implements Role: the rig is sold, and the Wants that it can serve are answered.
func (s Seller) Serve(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { s.replies.Serve(ctx) })
	return s.Provider.Serve(ctx)
}

// Provider is the provider's role, nil without it or before Serve is ready.
func (n *Node) Provider() *provider.Provider {
	s, _ := Guest[Seller](n, "provider")
	return s.Provider
}

// State implements stater.
func (s Seller) State(out *api.Status) {
	v := s.View()
	out.Leases, out.Sells = v.Live, &v.Selling
	if !v.Selling {
		out.SellsWhy = selling.WhyNot(v)
	}
}

// Sides implements lessor.
func (s Seller) Sides() (out []leases.Side) {
	for _, v := range s.Leases() {
		out = append(out, leases.Sold(v))
	}
	return out
}

// Facts implements gauge.
func (s Seller) Facts(f *health.Facts) {
	v, meter := s.View(), s.Metered()
	owed, earned := v.Earned.Claimable+v.Earned.Now, v.Earned.Total()
	f.FeePayer, f.Unsettled, f.Earned, f.Meter = &v.FeeBalance, &owed, &earned, &meter
}

// End implements ender.
func (s Seller) End(ctx context.Context) error { return s.EndLeases(ctx) }

// Examine implements patient: a rig needs engine and GPUs beside what every node needs.
func (s Seller) Examine(in *health.Input) {
	in.Only = nil
	if w := s.Waits(); w.Missing > 0 {
		in.PayoutWaits = fmt.Sprintf("%s SOL wait for the account %s, which lacks %s SOL", w.Sum.SOL(),
			in.Config.Provider.Payout, w.Missing.SOL())
	}
}

// Tune implements tunable.
func (s Seller) Tune(c config.Config, names []string) error {
	pol, err := policyOf(c)
	if err != nil {
		return err
	}
	s.SetPolicy(pol)
	if slices.Contains(names, "provider.sell") {
		s.SetSelling(c.Provider.Sell)
	}
	return nil
}
