// Package node is one running process: it wires the layers, starts the roles and serves the API.
//
// Invariants: store, keys and clock fail -> the process stops, the disk has the truth; jobs run on when it stops.
// Concurrency: Run owns all goroutines. Persistence: the data folder (store, keys, spool). Next: wire.go, backend.go,
// docs/flows/order.md.
package node

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
)

// Node is one process's node. Use New, then Serve.
type Node struct {
	p       *parts
	waiting chan struct{}
}

// New opens store, keys and ledger of cfg; it listens to nothing yet and waits for no endpoint. Close it if Serve is
// never called. Errors: *market.Error with a code where the user can do something.
func New(ctx context.Context, cfg config.Config, log *slog.Logger) (*Node, error) {
	p, err := open(ctx, cfg, log)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return &Node{p: p, waiting: make(chan struct{})}, nil
}

// Waiting is closed when Serve listens and its roles wait for the first answer of a local network's ledger: Early
// serves meanwhile.
func (n *Node) Waiting() <-chan struct{} { return n.waiting }

// Early is this node without roles, once Waiting is closed. It is not served or closed on its own.
func (n *Node) Early() *Node {
	p := n.p
	return &Node{p: &parts{cfg: p.cfg, log: p.log, keys: p.keys, db: p.db, host: p.host, offers: p.offers,
		clock: p.clock, early: true}}
}

// Serve runs the node until ctx ends. ready, if not nil, is closed once the roles run.
func (n *Node) Serve(ctx context.Context, ready chan<- struct{}) (err error) {
	p := n.p
	defer func() { err = errors.Join(err, p.close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-p.db.Dead(): // only the disk has the truth now
			return &market.Error{Code: "store-dead", Kind: market.KindInternal, Op: "write state", Err: store.ErrDead,
				Hint: "check the disk, then gpuai node start"}
		}
	})
	g.Go(func() error { return p.host.Serve(ctx) })
	g.Go(func() error { return p.offers.Serve(ctx) })
	select {
	case <-p.host.Ready():
	case <-ctx.Done():
		return ignoreCanceled(g.Wait())
	}
	for _, a := range p.host.FullAddrs() {
		p.log.Info("Listening", "address", a)
	}
	if err := keepPort(ctx, p.db, p.host.UDPPort()); err != nil {
		p.log.Warn("Port was not stored", "error", err)
	}
	if len(p.cfg.Solana.RPC) > 0 && p.genesis == "" {
		close(n.waiting)
		if err := p.awaitLedger(ctx); err != nil {
			cancel()
			return errors.Join(ignoreCanceled(err), ignoreCanceled(g.Wait()))
		}
	}
	if p.spending != nil {
		tag, err := escrow.ClusterTag(p.genesis)
		if err == nil {
			err = p.roles(ctx, tag)
		}
		if err != nil {
			cancel()
			return errors.Join(err, ignoreCanceled(g.Wait()))
		}
		g.Go(func() error { return p.spending.Serve(ctx) })
		g.Go(func() error { return p.fees.Serve(ctx) })
	}
	var loaded []<-chan struct{} // what is asked before would know of no order and no lease
	if p.cust != nil {
		g.Go(func() error { return p.cust.Serve(ctx) })
		loaded = append(loaded, p.cust.Loaded())
	}
	if p.prov != nil {
		g.Go(func() error { return p.prov.Serve(ctx) })
		loaded = append(loaded, p.prov.Loaded())
	}
	for _, l := range loaded {
		select {
		case <-l:
		case <-ctx.Done():
			return ignoreCanceled(g.Wait())
		}
	}
	if ready != nil {
		close(ready)
	}
	return ignoreCanceled(g.Wait())
}

// Customer is the customer's role, nil without it or before Serve is ready.
func (n *Node) Customer() *customer.Customer { return n.p.cust }

// Spending is the ledger of the spending account, nil without a chain.
func (n *Node) Spending() *solana.Ledger { return n.p.spending }

// Addrs are the own multiaddresses with the peer id; empty before Serve is ready.
func (n *Node) Addrs() []string { return n.p.host.FullAddrs() }

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (p *parts) close() error {
	var errs []error
	if p.engine != nil {
		errs = append(errs, p.engine.Close())
	}
	if p.db != nil {
		errs = append(errs, p.db.Close())
	}
	return errors.Join(errs...)
}
