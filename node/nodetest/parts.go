package nodetest

import (
	"context"
	"crypto/ed25519"
	"log/slog"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/runtime/docker"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// Cluster is node.Deps' chain in memory. Account is the ledger of an account, which may outlive the node, as the
// journal of the real one does.
type Cluster struct {
	*escrowtest.Chain
	Account func(market.Address) node.Ledger
}

// Genesis implements node.Chain.
func (c Cluster) Genesis(context.Context) (string, error) { return c.Ask() }

// Open implements node.Chain.
func (c Cluster) Open(_ string, signer ed25519.PrivateKey, _ market.Amount, _ solana.Journal,
	_ *slog.Logger) (node.Ledger, error) {
	return c.Account(market.Address(escrow.PublicKey(signer))), nil
}

// Engine is node.Deps' engine: a Fake that outlives its nodes. Check is what it says of itself; nil: it is fit.
type Engine struct {
	*runtimetest.Fake
	Check func(context.Context) (egress bool, err error)
}

// Open is node.Deps.Engine.
func (e Engine) Open(docker.Config, job.Memory, *slog.Logger) (node.Engine, error) { return e, nil }

// Fit implements node.Engine.
func (e Engine) Fit(ctx context.Context) (egress bool, err error) {
	if e.Check == nil {
		return true, nil
	}
	return e.Check(ctx)
}

// DiskLow implements node.Engine: never.
func (Engine) DiskLow() <-chan struct{} { return nil }

// Close implements node.Engine. The jobs run on.
func (Engine) Close() error { return nil }
