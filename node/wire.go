package node

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/docker"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// parts is one node, wired. This file is the only place where layers meet.
type parts struct {
	cfg      config.Config
	log      *slog.Logger
	keys     keys
	db       *store.Store
	host     *p2p.Host
	offers   *offers.Service
	spending *solana.Ledger
	fees     *solana.Ledger
	engine   *docker.Engine
	cust     *customer.Customer
	prov     *provider.Provider
	clock    *lease.Clock
	genesis  string // "" until the ledger of a local network has answered once
	early    bool   // a copy that serves until then, without roles
	replaced bool   // the ledger is another one than at the last start
}

// wired joins requests and upkeep for the customer.
type wired struct {
	*streams.Service
	*p2p.Host
}

var _ customer.Net = wired{}

func (p *parts) role(r string) bool { return slices.Contains(p.cfg.Node.Roles, r) }

// open builds everything that needs no network; a ledger that does not answer is no reason to fail.
func open(ctx context.Context, cfg config.Config, log *slog.Logger) (p *parts, err error) {
	p = &parts{cfg: cfg, log: log}
	if p.db, err = store.Open(filepath.Join(cfg.Node.DataDir, "state.db")); err != nil {
		return p, err
	}
	if p.keys, err = openKeys(cfg.Node.DataDir, cfg.Wallet.Keypair); err != nil {
		return p, err
	}
	if p.clock, err = lease.NewClock(); err != nil {
		return p, err
	}
	p.host, err = p2p.New(p2p.Config{
		Network: cfg.Node.Network, Key: p.keys.node, Listen: cfg.P2P.Listen, Bootstrap: cfg.P2P.Bootstrap,
		Roles: cfg.Node.Roles,
		Infra: cfg.P2P.Infra, Port: lastPort(p.db),
	}, peerBook{p.db}, log.With("part", "p2p"))
	if err != nil {
		return p, err
	}
	p.offers = offers.New(p.host, nil, log.With("part", "offers"))
	if len(cfg.Solana.RPC) == 0 {
		return p, nil // a bootstrap node needs no ledger
	}
	if p.genesis, err = p.knownGenesis(ctx); err != nil || p.genesis == "" {
		return p, err
	}
	return p, p.openLedger()
}

func (p *parts) openLedger() (err error) {
	sc := solana.Config{RPC: p.cfg.Solana.RPC, Genesis: p.genesis, Program: program.ID,
		MaxFee: uint64(p.cfg.Solana.MaxFee), MaxPerDay: market.Amount(p.cfg.Wallet.MaxPerDay), Poll: p.chainEvery()}
	if p.host.Network().Local {
		sc.Step = 50 * time.Millisecond
	}
	if p.spending, err = solana.New(sc, p.keys.spending, journal{p.db, "spending/"},
		p.log.With("part", "spending")); err != nil {
		return err
	}
	sc.MaxPerDay = 0
	p.fees, err = solana.New(sc, p.keys.feePayer, journal{p.db, "fees/"}, p.log.With("part", "fees"))
	return err
}

// roles builds the roles once the host listens.
func (p *parts) roles(ctx context.Context, clusterTag uint64) error {
	network := p.host.Network().Name
	var hs streams.Handlers
	if p.role("provider") {
		if err := p.newProvider(ctx, clusterTag); err != nil {
			return err
		}
		hs = streams.Handlers{Quoter: p.prov, Leaser: p.prov, Vouchers: p.prov, Tunneler: p.prov}
	}
	svc := streams.New(p.host, hs, p.log.With("part", "streams"))
	if p.role("customer") {
		p.cust = customer.New(customer.Config{
			Network: network, ClusterTag: clusterTag, Key: p.keys.node, ID: p.host.ID(), Payer: p.spending.Address(),
			Program: program.ID,
			Seed:    p.keys.seed, Spool: filepath.Join(p.cfg.Node.DataDir, "spool"),
			LogMax:   int64(min(p.cfg.Customer.LogMax, 1<<50)),
			SpoolMax: uint64(p.cfg.Customer.SpoolMax), SpoolKeep: time.Duration(p.cfg.Customer.SpoolKeep),
			AwayMax: market.Amount(p.cfg.Customer.AwayMax), ChainEvery: p.chainEvery(),
		}, p.db, p.spending, wired{svc, p.host}, p.clock, p.log.With("role", "customer"))
		p.offers.Attach(p.cust) // gossip and sync run already; what they have brought comes now
	}
	return nil
}

// localDiskFloor must stay free on a local network's engine, which is often a small machine's: 20 GiB elsewhere.
const localDiskFloor = 1 << 30

func (p *parts) newProvider(ctx context.Context, clusterTag uint64) error {
	c := p.cfg.Provider
	local := p.host.Network().Local
	if !local && (len(c.Simulate) > 0 || c.AllowWeakRuntime || time.Duration(c.Tick) < 5*time.Second) {
		return &market.Error{Code: "config-invalid", Kind: market.KindInvalid, Op: "start provider",
			Detail: "simulated GPUs, weak runtimes and ticks below 5 s are for localnet only",
			Hint:   "gpuai config show"}
	}
	pc, err := providerConfig(p, clusterTag)
	if err != nil {
		return err
	}
	devices, err := gpu.Inventory(ctx, gpu.Config{Simulate: c.Simulate, PeerID: p.host.ID().String()})
	if err != nil && len(c.Simulate) > 0 { // a word of the user's, not a driver's
		return invalid("provider.simulate_gpu", err.Error())
	}
	if err != nil {
		p.log.Warn("GPUs were not measured", "error", err)
		pc.Note = "GPUs were not measured, only the CPU is sold: " + err.Error()
	}
	for i := range devices {
		p.log.Info("Device", "class", devices[i].Class, "uuid", devices[i].UUID)
	}
	dc := docker.Config{Peer8: p.host.ID().Short(), Host: c.DockerHost, AllowWeakRuntime: c.AllowWeakRuntime,
		Resolvers: c.Resolvers}
	if local {
		dc.DiskFloor = localDiskFloor
	}
	p.engine, err = docker.New(dc, memory{p.db}, p.log.With("part", "docker"))
	if err != nil {
		return fmt.Errorf("open engine: %w", err)
	}
	p.prov = provider.New(pc, devices, provider.Deps{
		Store: p.db, Ledger: p.fees, Runner: p.engine, Access: p.engine, Pub: p.offers, Reach: p.host, Clock: p.clock,
		Log: p.log.With("role", "provider"),
		Fit: func(ctx context.Context) (bool, error) {
			rep, err := p.engine.Sellable(ctx)
			return rep.Egress, err
		},
		Recheck: p.engine.DiskLow(), Moved: p.host.Moved(),
		HandOver: gpu.NewHandOver(gpu.Config{Simulate: c.Simulate, PeerID: p.host.ID().String()}),
	})
	return nil
}
