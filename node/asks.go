package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/backend/leases"
	"github.com/gpuai/gpuai/node/backend/money"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/provider"
)

// What the API asks of a node and its guests.

// sides are the leases of all guests.
func (b *Backend) sides() (out []leases.Side) {
	each(b.n, func(g lessor) { out = append(out, g.Sides()...) })
	return out
}

// sold finds a lease of the provider's role by its id, with its documents, however old it is. Errors: the store's.
func (b *Backend) sold(id string) (side leases.Side, found bool, err error) {
	lease, bad := market.ParseLeaseID(id)
	if bad != nil {
		return side, false, nil // the id of an order
	}
	each(b.n, func(g archive) {
		var v provider.LeaseView
		if v, found, err = g.Lease(lease); found {
			side = leases.Sold(v)
		}
	})
	return side, found, err
}

// end ends the leases of all guests.
func (b *Backend) end(ctx context.Context) error {
	var errs []error
	each(b.n, func(g ender) { errs = append(errs, g.End(ctx)) })
	return errors.Join(errs...)
}

// tune gives the guests what is hot among the changed settings.
func (b *Backend) tune(c config.Config, names []string) error {
	var errs []error
	each(b.n, func(g tunable) { errs = append(errs, g.Tune(c, names)) })
	return errors.Join(errs...)
}

// examined is what the node's doctor looks at: a node that only buys needs neither engine nor GPU.
func (b *Backend) examined() health.Input {
	stand := b.n.host.Standing()
	in := health.Input{Config: b.n.site.Config, Only: []string{"rig", "net", "chain"},
		Net: &health.Net{Peers: b.n.host.Peers(), Addrs: b.n.host.Addrs(), Carrier: b.n.host.BehindCarrier(),
			Isolated: stand.Isolated,
			Stale:    stand.Stale, Newer: b.n.site.Offers.Stats().Newer}}
	if f := b.n.site.finder; f != nil {
		in.Net.Seen = f.dht.Stats().Seen
	}
	each(b.n, func(g patient) { g.Examine(&in) })
	return in
}

// offersKnown are those of the book, if a guest keeps one.
func (b *Backend) offersKnown() (list []market.Offer, ok bool) {
	each(b.n, func(g interface{ Offers() []market.Offer }) { list, ok = g.Offers(), true })
	return list, ok
}

// account is the spending account. Errors: chain-unreachable.
func (b *Backend) account() (money.Account, error) {
	if b.n.early() {
		return nil, noLedgerYet("open wallet")
	}
	l := b.n.Spending()
	if l == nil {
		return nil, &market.Error{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable, Op: "open wallet",
			Detail: "this node has no ledger", Hint: "gpuai config set solana.rpc=URL"}
	}
	return l, nil
}

// needs is what an intent would take from the spending account; ok is false without one that answers.
func (b *Backend) needs(ctx context.Context, in escrow.Intent) (needs escrow.Needs, ok bool) {
	l := b.n.Spending()
	if l == nil {
		return needs, false
	}
	needs, err := l.Needs(ctx, in)
	return needs, err == nil
}

// fundHint is how the spending account gets money on this network, "" without one.
func (b *Backend) fundHint(missing market.Amount) string {
	switch l := b.n.Spending(); {
	case l == nil:
		return ""
	case b.n.host.Network().Local:
		return fmt.Sprintf("gpuai wallet airdrop %d", max((missing+market.LamportsSOL-1)/market.LamportsSOL, 1))
	default:
		return "send SOL to " + l.Address().String()
	}
}
