package node

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/leases"
	"github.com/gpuai/gpuai/node/backend/orders"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/streams"
)

// wired joins requests and upkeep for the customer.
type wired struct {
	*streams.Service
	*p2p.Host
	*finder
	gossip
}

// gossip is the Offers service under a name of its own.
type gossip struct{ *offers.Service }

// Buyer is the customer's role as a guest.
type Buyer struct{ *customer.Customer }

func newBuyer(_ context.Context, s *Site) (Role, error) {
	c := s.Config.Customer
	cc := customer.Config{
		Network: s.Host.Network().Name, ClusterTag: s.Tag, Key: s.keys.node, ID: s.Host.ID(),
		Payer: s.Spending.Address(), Program: s.deps.Chain.Program(), Seed: s.keys.seed,
		Spool:    filepath.Join(s.Config.Node.DataDir, "spool"),
		LogMax:   int64(min(c.LogMax, 1<<50)),
		SpoolMax: uint64(c.SpoolMax), SpoolKeep: time.Duration(c.SpoolKeep), AwayMax: market.Amount(c.AwayMax),
		ChainEvery: s.ChainEvery(), Quiet: s.Host.Quiet(),
		Sound: func(ctx context.Context, id market.NodeID, addrs []string) error {
			_, err := s.Host.Ping(ctx, id, addrs)
			return err
		},
	}
	s.deps.Customer(&cc)
	log := s.Log.With("role", "customer")
	parts := s.Log.With("part", "streams")
	ask := s.deps.Net(wired{streams.New(s.Host, streams.Handlers{}, parts), s.Host, s.finder, gossip{s.Offers}})
	b := Buyer{customer.New(cc, s.Store, s.Spending, ask, s.Clock, log)}
	b.Ends = s.Ends
	streams.New(s.Host, streams.Handlers{Wanter: b}, parts)
	var book offers.Follower = b.Book
	s.Offers.Attach(book) // gossip and sync run already; what they have brought comes now
	s.Host.OnRTT(b.Book.Near)
	return b, nil
}

// Customer is the customer's role, nil without it or before Serve is ready.
func (n *Node) Customer() *customer.Customer {
	b, _ := Guest[Buyer](n, "customer")
	return b.Customer
}

// State implements stater.
func (b Buyer) State(s *api.Status) {
	s.Offers = len(b.Book.Offers())
	for _, v := range b.Orders() {
		if !orders.Over(v) {
			s.Orders++
		}
	}
	list, _ := b.Spool.List() // gpuai spool says why it cannot be read
	for _, e := range list {
		s.SpoolBytes += e.Inputs + e.Outputs + e.Other
		if e.Outputs > 0 && e.Known && e.Fetched.IsZero() {
			s.SpoolWaiting++
		}
	}
}

// Offers are those that the node has heard of.
func (b Buyer) Offers() []market.Offer { return b.Book.Offers() }

// Sides implements lessor.
func (b Buyer) Sides() (out []leases.Side) {
	for _, v := range b.Orders() {
		if s, ok := leases.Bought(v); ok {
			out = append(out, s)
		}
	}
	return out
}

// Facts implements gauge.
func (b Buyer) Facts(f *health.Facts) {
	offers := b.Book.Offers()
	n, rows := len(offers), 0
	for _, o := range offers {
		rows += len(o.Groups)
	}
	f.BookOffers, f.BookRows = &n, &rows
}

// End implements ender: it stops the orders, and waits until each is over and paid back.
func (b Buyer) End(ctx context.Context) error {
	var errs []error
	for _, v := range b.Orders() {
		if !orders.Over(v) {
			errs = append(errs, b.StopOrder(ctx, v.ID.String(), false))
		}
	}
	for _, v := range b.Orders() {
		if orders.Over(v) {
			continue
		}
		if err := b.Until(ctx, v.ID.String(), orders.Over); err != nil {
			return errors.Join(append(errs, &market.Error{Code: market.CodeTimeout, Kind: market.KindUnavailable,
				Op: "end leases", Err: err, Hint: "gpuai ps"})...)
		}
	}
	return errors.Join(errs...)
}
