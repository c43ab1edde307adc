package node

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/control"
	"github.com/gpuai/gpuai/node/backend/leases"
	"github.com/gpuai/gpuai/node/backend/money"
	"github.com/gpuai/gpuai/node/backend/network"
	"github.com/gpuai/gpuai/node/backend/orders"
	"github.com/gpuai/gpuai/node/backend/selling"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/image"
)

// Version is this program's version, as Offers and the API state it.
const Version = api.Version

// Backend serves the API out of a node, by parts that no one has to know all of: Panel is api.Control, Desk and Shelf
// are Orders and Files, Book is Leases, Purse is Spending, Counter is Selling, Links is Network.
type Backend struct {
	*control.Panel
	*orders.Desk
	orders.Shelf
	*leases.Book
	*money.Purse
	*selling.Counter
	network.Links

	n       *Node
	started time.Time
	metrics *health.Metrics
}

var _ api.Backend = (*Backend)(nil)

// NewBackend returns the API's side of a node. Call it once the node's Serve is ready or waits, then Serve; stop ends
// the node. settings are those that its config was loaded with.
func NewBackend(n *Node, settings config.Options, stop func()) (*Backend, error) {
	images, err := image.NewResolver("linux/amd64", nil)
	if err != nil {
		return nil, err
	}
	b := &Backend{n: n, started: time.Now()}
	b.metrics = health.NewMetrics(Version, b.facts)
	request := b.metrics.Request
	n.site.asked.Store(&request)
	buyer := func() (*customer.Customer, error) {
		g, err := Guest[Buyer](n, "customer")
		return g.Customer, err
	}
	seller := func() (*provider.Provider, error) {
		g, err := Guest[Seller](n, "provider")
		return g.Provider, err
	}
	b.Panel = &control.Panel{
		Self: n.host.ID(), Settings: settings, State: b.state, Input: b.examined, Watch: health.NewWatch(b.examined),
		Tune: b.tune, End: b.end, Stop: stop, Tell: b.tell,
	}
	b.Desk = &orders.Desk{Role: buyer, Early: n.early, Images: images, Needs: b.needs, Hint: b.fundHint,
		Wanted: n.site.Offers.Wants}
	b.Shelf = orders.Shelf{Role: buyer}
	b.Book = &leases.Book{Network: n.host.Network().Name, Role: buyer, Sides: b.sides, Sold: b.sold,
		Show: b.Desk.Doc}
	b.Purse = &money.Purse{Network: n.host.Network(), Account: b.account, Role: buyer, Hint: b.fundHint, Tell: b.tell}
	b.Counter = &selling.Counter{Self: n.host.ID(), Role: seller, Early: n.early, Known: b.offersKnown,
		Set: b.PatchConfig, Tell: b.tell}
	b.Links = network.Links{Host: n.host, Heard: n.site.Offers}
	if f := n.site.finder; f != nil { // it is there once the node serves
		b.Links.DHT, b.Links.Find = f.dht, f.Find
	}
	return b, nil
}

// API is what the API's server needs of this node.
func (b *Backend) API() api.Config {
	return api.Config{Backend: b, Events: b, Answers: store.Answers{DB: b.n.db}, Observe: b.metrics.Request,
		Told: b.operation}
}

// Serve does the backend's own work until ctx ends: the hourly look at the machine, old rows go, and metrics if they
// are on. An error of it ends the node.
func (b *Backend) Serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.Watch.Serve(ctx, b.healthChanged(ctx)) })
	g.Go(func() error { return b.watchNet(ctx) })
	g.Go(func() error { return b.prune(ctx) })
	if b.n.site.Config.API.Metrics != "" {
		b.n.db.OnCommit(b.metrics.Commit)
		g.Go(func() error { return b.serveMetrics(ctx) })
		g.Go(func() error { return b.countEvents(ctx) })
	}
	return ignoreCanceled(g.Wait())
}

// state is the node's status: its own part, then that of each guest.
func (b *Backend) state() api.Status {
	n, host, c := b.n, b.n.host, b.n.site.Config
	s := api.Status{
		Schema: "gpuai.status/v1", PeerID: host.ID().String(), Version: Version, Network: host.Network().Name,
		Roles: append([]string{}, c.Node.Roles...), Addresses: append([]string{}, host.FullAddrs()...),
		Peers: host.Peers(), Quiet: host.Quiet(), StartedAt: rest.At(b.started), // its lists are never null
	}
	if n.early() {
		s.Notice = "the ledger of " + s.Network + " has not answered yet: offers, orders and money wait for it"
		return s
	}
	s.Genesis = n.genesis
	if l := n.Spending(); l != nil {
		s.Wallet = l.Address().String()
	}
	if n.replaced {
		s.Notice = "the ledger is another one than at the last start: wallet and channels of the old one are gone " +
			"with it, its orders are history"
	}
	each(n, func(g stater) { g.State(&s) })
	return s
}
