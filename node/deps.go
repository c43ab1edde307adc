package node

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/runtime/docker"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/job"
)

// Deps are the parts that a node is joined of. The zero value is the real ones; tests and benchmarks put others in
// their place, and all that joins them stays the product's.
type Deps struct {
	Clock *lease.Clock // nil: the machine's
	Chain Chain        // nil: the Solana cluster of the settings
	// Engine opens what runs jobs; nil: Docker.
	Engine func(docker.Config, job.Memory, *slog.Logger) (Engine, error)
	// Devices finds what the rig has; nil: NVML, and the CPU.
	Devices func(context.Context, gpu.Config) ([]gpu.Device, error)
	// HandOver tells whether a lease left its devices as they were; nil: NVML.
	HandOver func(gpu.Config) provider.HandOver
	// Net stands between the customer and its providers; nil: nothing does.
	Net func(customer.Net) customer.Net
	// P2P, Provider and Customer change what the settings have come to; nil: nothing.
	P2P      func(*p2p.Config)
	Provider func(*provider.Config)
	Customer func(*customer.Config)
	// Guests are kinds of roles beside the built-in ones.
	Guests []Guests
}

// Engine runs jobs and says whether it may take leases.
type Engine interface {
	job.Runner
	job.Access
	// Fit is provider.Fitness.
	Fit(ctx context.Context) (egress bool, err error)
	// DiskLow tells that Fit would now say something else.
	DiskLow() <-chan struct{}
	Close() error
}

// Ledger is a chain as one account sees it; it signs and pays fees as that account.
type Ledger interface {
	escrow.Ledger
	// Serve sends what was submitted until ctx ends.
	Serve(ctx context.Context) error
	Address() market.Address
	// Needs says what an intent would take from the account now. Errors: chain-unreachable.
	Needs(ctx context.Context, in escrow.Intent) (escrow.Needs, error)
	// Airdrop asks a test cluster for lamports.
	Airdrop(ctx context.Context, to market.Address, amount market.Amount) error
}

// Chain opens ledgers of one cluster.
type Chain interface {
	// Genesis asks for the genesis hash, base58. Errors: no endpoint answers.
	Genesis(ctx context.Context) (string, error)
	// Program is the escrow program's address.
	Program() market.Address
	// Open returns the ledger of a signer, with no network I/O. maxPerDay bounds what it deposits; 0: nothing does.
	Open(genesis string, signer ed25519.PrivateKey, maxPerDay market.Amount, j solana.Journal,
		log *slog.Logger) (Ledger, error)
}

// cluster is the Chain of the settings.
type cluster struct {
	rpc    []string
	maxFee uint64
	step   time.Duration
}

func (c cluster) Genesis(ctx context.Context) (string, error) { return solana.Genesis(ctx, c.rpc) }

func (cluster) Program() market.Address { return program.ID }

func (c cluster) Open(genesis string, signer ed25519.PrivateKey, maxPerDay market.Amount, j solana.Journal,
	log *slog.Logger) (Ledger, error) {
	return solana.New(solana.Config{RPC: c.rpc, Genesis: genesis, Program: program.ID, MaxFee: c.maxFee,
		MaxPerDay: maxPerDay, Step: c.step}, signer, j, log)
}

// dockerEngine is the Engine of the settings.
type dockerEngine struct{ *docker.Engine }

func (e dockerEngine) Fit(ctx context.Context) (egress bool, err error) {
	rep, err := e.Sellable(ctx)
	return rep.Egress, err
}

func openDocker(c docker.Config, m job.Memory, log *slog.Logger) (Engine, error) {
	e, err := docker.New(c, m, log)
	return dockerEngine{e}, err
}

// real puts the real parts where there are none. Errors: the machine's clock.
func (d Deps) real(s *Site) (_ Deps, err error) {
	if d.Clock == nil {
		d.Clock, err = lease.NewClock()
	}
	if d.Chain == nil {
		c := cluster{rpc: s.Config.Solana.RPC, maxFee: uint64(s.Config.Solana.MaxFee)}
		if s.Host.Network().Local {
			c.step = 50 * time.Millisecond
		}
		d.Chain = c
	}
	if d.Engine == nil {
		d.Engine = openDocker
	}
	if d.Devices == nil {
		d.Devices = gpu.Inventory
	}
	if d.HandOver == nil {
		d.HandOver = func(c gpu.Config) provider.HandOver { return gpu.NewHandOver(c) }
	}
	if d.Net == nil {
		d.Net = func(n customer.Net) customer.Net { return n }
	}
	if d.Provider == nil {
		d.Provider = func(*provider.Config) {}
	}
	if d.Customer == nil {
		d.Customer = func(*customer.Config) {}
	}
	return d, err
}
