// Package node is one running process: it joins the layers, lets the roles in and serves the API.
//
// Invariants: store, keys and clock fail -> the process stops, the disk has the truth; jobs run on when it stops. A
// role is a guest: the node knows none of them by name but in kinds.
// Concurrency: Serve owns all goroutines. Persistence: the data folder (store, keys, spool). Next: role.go, deps.go,
// backend.go, docs/flows/order.md.
package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/outcomes"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
)

// Node is one process's node. Use New, then Serve.
type Node struct {
	site    Site
	log     *slog.Logger
	db      *store.Store
	host    *p2p.Host
	waiting chan struct{}

	genesis  string // "" until the ledger of a local network has answered once
	replaced bool   // the ledger is another one than at the last start
	built    []Role // by Serve alone
	roles    atomic.Pointer[[]Role]
}

// New opens the store and the keys of cfg; it listens to nothing yet and waits for nobody. Close it if Serve is never
// called. Errors: *market.Error with a code where the user can do something.
func New(cfg config.Config, d Deps, log *slog.Logger) (*Node, error) {
	n := &Node{log: log, waiting: make(chan struct{})}
	if err := n.open(cfg, d); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open(cfg config.Config, d Deps) (err error) {
	s := &n.site
	s.Config, s.Log = cfg, n.log
	if n.db, err = store.Open(filepath.Join(cfg.Node.DataDir, "state.db")); err != nil {
		return err
	}
	if s.keys, err = openKeys(cfg.Node.DataDir, cfg.Wallet.Keypair); err != nil {
		return err
	}
	net := p2p.Config{
		Network: cfg.Node.Network, Key: s.keys.node, Listen: cfg.P2P.Listen, Bootstrap: cfg.P2P.Bootstrap,
		Roles: cfg.Node.Roles, Infra: cfg.P2P.Infra, Quiet: cfg.P2P.Quiet, MDNS: cfg.P2P.MDNS,
		PublicRules: cfg.P2P.PublicRules, RelayTime: time.Duration(cfg.P2P.RelayTime),
		RelayData: int64(cfg.P2P.RelayData),
	}
	if len(net.Listen) == 0 {
		net.Port = lastPort(n.db)
	}
	if d.P2P != nil {
		d.P2P(&net)
	}
	if n.host, err = p2p.New(net, peerBook{n.db}, n.log.With("part", "p2p")); err != nil {
		return err
	}
	s.Store, s.Host, s.Offers = n.db, n.host, offers.New(n.host, n.log.With("part", "offers"))
	s.finder = newFinder(n.host, s.Offers, n.log.With("part", "dht"))
	s.Offers.Attach(s.finder)
	s.deps, err = d.real(s)
	s.Clock = s.deps.Clock
	if err == nil {
		s.Ends = outcomes.New(n.host.Network().Name, n.db, told(s), s.Clock.Now, n.log.With("part", "outcomes"))
	}
	return err
}

// told is where Outcomes are told; nil on a node without gossip: the other side of its leases tells them.
func told(s *Site) outcomes.Net {
	if s.Host.Quiet() {
		return nil
	}
	return s.Offers
}

// gcPercent lets the heap of a node grow to five times what lives in it before it is collected. A node has some 5 MB
// that live, so Go's own 100 collects a dozen times a second while vouchers come, and each time takes a quarter of the
// processors: the slowest of 100 payments waits for that. The environment's GOGC goes before it.
const gcPercent = 400

// Waiting is closed when Serve listens and its roles wait for the first answer of a local network's ledger.
func (n *Node) Waiting() <-chan struct{} { return n.waiting }

// Serve runs the node until ctx ends. ready, if not nil, is closed once the roles run.
func (n *Node) Serve(ctx context.Context, ready chan<- struct{}) (err error) {
	defer func() { err = errors.Join(err, n.Close()) }()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-n.db.Dead(): // only the disk has the truth now
			return &market.Error{Code: market.CodeStoreDead, Kind: market.KindInternal, Op: "write state",
				Err:  store.ErrDead,
				Hint: "check the disk, then gpuai node start"}
		}
	})
	g.Go(func() error { return n.host.Serve(ctx) })
	g.Go(func() error { return n.site.Offers.Serve(ctx) })
	g.Go(func() error { return n.site.finder.Serve(ctx) })
	g.Go(func() error { return n.site.Ends.Serve(ctx) })
	g.Go(func() error {
		err := n.letIn(ctx, g)
		if err == nil && ready != nil {
			close(ready)
		}
		return err
	})
	return ignoreCanceled(g.Wait())
}

// letIn builds the roles and returns once all of them have read the store.
func (n *Node) letIn(ctx context.Context, g *errgroup.Group) error {
	select {
	case <-n.host.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, a := range n.host.FullAddrs() {
		n.log.Info("Listening", "address", a)
	}
	if err := keepPort(ctx, n.db, n.host.UDPPort()); err != nil {
		n.log.Warn("Port was not stored", "error", err)
	}
	if err := n.openLedger(ctx); err != nil {
		return err
	}
	if n.site.Spending != nil {
		g.Go(func() error { return n.site.Spending.Serve(ctx) })
		g.Go(func() error { return n.site.Fees.Serve(ctx) })
	}
	if err := n.build(ctx); err != nil {
		return err
	}
	for _, r := range n.built {
		g.Go(func() error { return r.Serve(ctx) })
	}
	for _, r := range n.built {
		select {
		case <-r.Loaded():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.roles.Store(&n.built)
	return nil
}

// Spending is the ledger of the spending account, nil without a chain or before Serve is ready.
func (n *Node) Spending() Ledger {
	if n.early() {
		return nil
	}
	return n.site.Spending
}

// Host is the node's place among its peers; Store is its state.
func (n *Node) Host() *p2p.Host { return n.host }

// Store is the node's state. It closes with the node.
func (n *Node) Store() *store.Store { return n.db }

// Addrs are the own multiaddresses with the peer id; empty before Serve is ready.
func (n *Node) Addrs() []string { return n.host.FullAddrs() }

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Close lets go of all that is open; Serve does it at its end.
func (n *Node) Close() error {
	var errs []error
	for _, r := range n.built {
		if c, ok := r.(closer); ok {
			errs = append(errs, c.Close())
		}
	}
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	return errors.Join(errs...)
}
