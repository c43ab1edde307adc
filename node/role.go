package node

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/leases"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/outcomes"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
)

// Role is a guest of a node: what the node does for others beside being there. A guest takes what it needs of its Site
// (streams by Site.Host, offers by Site.Offers) while it is built; what else it can tell or do is in the small
// interfaces below, all of them optional.
type Role interface {
	// Serve does the role's work until ctx ends. Its error ends the node.
	Serve(ctx context.Context) error
	// Loaded is closed once Serve has read the store: a node that answered before would know of no order and no lease.
	Loaded() <-chan struct{}
}

// Guests of a kind, named by node.roles.
type Guests struct {
	Name  string
	Money bool // it cannot be without a ledger
	// Build makes the guest once the host listens and, with Money, the ledger is known.
	Build func(context.Context, *Site) (Role, error)
}

// Site is what a node lends its guests. They close nothing of it.
type Site struct {
	Config config.Config
	Log    *slog.Logger
	Store  *store.Store
	Host   *p2p.Host
	Offers *offers.Service
	Clock  *lease.Clock
	Ends   *outcomes.Teller // tells everybody how leases ended
	// Tag names the ledger in what is signed, Genesis is its genesis hash; Spending and Fees sign for the two own
	// accounts. Without a ledger they are zero.
	Tag            uint64
	Genesis        string
	Spending, Fees Ledger

	keys   keys
	deps   Deps
	finder *finder
	asked  atomic.Pointer[func(op string, status int)] // hears of requests of the public API, once a backend is there
}

// ChainEvery is how often channels are read: a public endpoint limits its callers, a local ledger does not.
func (s *Site) ChainEvery() time.Duration {
	if s.Host.Network().Local {
		return time.Second
	}
	return 15 * time.Second
}

// What a guest may have beside Role.
type (
	// ender ends its leases and waits until the last is paid.
	ender interface{ End(context.Context) error }
	// closer lets go of what it opened; its Serve has returned.
	closer interface{ Close() error }
	// stater adds its part to the node's status.
	stater interface{ State(*api.Status) }
	// lessor has leases.
	lessor interface{ Sides() []leases.Side }
	// archive finds leases that are no longer among those of lessor.
	archive interface {
		Lease(market.LeaseID) (provider.LeaseView, bool, error)
	}
	// gauge adds what it knows to a scrape of /metrics.
	gauge interface{ Facts(*health.Facts) }
	// patient is looked at by the doctor.
	patient interface{ Examine(*health.Input) }
	// tunable takes hot settings; names are those that have changed.
	tunable interface {
		Tune(c config.Config, names []string) error
	}
)

// guests are the built roles, in the order of node.roles; empty until all have read the store.
func (n *Node) guests() []Role {
	if g := n.roles.Load(); g != nil {
		return *g
	}
	return nil
}

// early reports that the roles are not there yet: the ledger of a local network has never answered this node.
func (n *Node) early() bool { return n.roles.Load() == nil }

// Guest finds the role of type T. Errors: chain-unreachable before the roles are there; role-off.
func Guest[T Role](n *Node, name string) (T, error) {
	var none T
	if n.early() {
		return none, noLedgerYet("ask node")
	}
	for _, g := range n.guests() {
		if t, ok := g.(T); ok {
			return t, nil
		}
	}
	return none, roleOff(name)
}

// each calls f for all guests that are a T.
func each[T any](n *Node, f func(T)) {
	for _, g := range n.guests() {
		if t, ok := g.(T); ok {
			f(t)
		}
	}
}

func roleOff(role string) error {
	return &market.Error{
		Code: market.CodeRoleOff, Kind: market.KindConflict, Op: "ask node", Detail: "this node has no role " + role,
		Hint: "gpuai config set node.roles=customer,provider",
	}
}

// noLedgerYet: the ledger of a local network has never answered this node.
func noLedgerYet(op string) error {
	return &market.Error{
		Code: market.CodeChainUnreachable, Kind: market.KindUnavailable, Op: op,
		Detail: "the ledger of this network has not answered yet; the roles start when it does",
		Hint:   "gpuai doctor --only chain",
	}
}

// build makes the guests that the settings name, in the order of the table: the provider first, so that its Offer is
// out while the customer still starts.
func (n *Node) build(ctx context.Context) error {
	for _, k := range append(kinds(), n.site.deps.Guests...) {
		if !slices.Contains(n.site.Config.Node.Roles, k.Name) || k.Money && n.site.Spending == nil {
			continue
		}
		g, err := k.Build(ctx, &n.site)
		if err != nil {
			return err
		}
		n.built = append(n.built, g)
	}
	return nil
}

// kinds are the roles of this program, those of config.Roles.
func kinds() []Guests {
	return []Guests{{config.RoleProvider, true, newSeller}, {config.RoleCustomer, true, newBuyer},
		{config.RoleIndexer, false, newIndex}}
}
