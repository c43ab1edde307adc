package node

import (
	"context"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/indexer"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
)

// Index is the indexer's role as a guest.
type Index struct{ *indexer.Indexer }

// observe counts a request of the public API among those of the local one, under its whole path.
func (s *Site) observe(route string, status int) {
	if f := s.asked.Load(); f != nil {
		method, path, _ := strings.Cut(route, " ")
		(*f)(method+" "+public.Base+path, status)
	}
}

// dialer is what an index asks of the host.
type dialer struct {
	host   *p2p.Host
	offers *offers.Service
}

// Ping implements indexer.Dialer.
func (d dialer) Ping(ctx context.Context, id market.NodeID, addrs []string) (time.Duration, error) {
	e, err := d.host.Ping(ctx, id, addrs)
	return e.RTT, err
}

// Reach implements indexer.Dialer.
func (d dialer) Reach(id market.NodeID) []string { return d.offers.Reach(id) }

func newIndex(ctx context.Context, s *Site) (Role, error) {
	x, err := indexer.New(ctx, indexer.Config{
		Network: s.Host.Network().Name, Genesis: s.Genesis, Store: s.Config.Indexer.Store,
		Listen: s.Config.Indexer.Listen, ChainEvery: s.ChainEvery(), RPC: relayOf(s), Observe: s.observe,
		Compare: s.Config.Indexer.Compare, OnChain: onChain(s),
	}, dialer{s.Host, s.Offers}, readsOf(s), s.Log.With("role", "indexer"))
	if err != nil {
		return nil, err
	}
	s.Offers.Attach(x)
	return Index{x}, nil
}

// State implements stater.
func (x Index) State(out *api.Status) { out.Index = x.URL() }

// Facts implements gauge.
func (x Index) Facts(f *health.Facts) {
	v := x.Figures()
	f.IndexLag, f.IndexWritten, f.IndexRefused = v.Lag, v.Written, &v.Refused
}

// URL is where the site and the public API are, "" if they are not served.
func (x Index) URL() string {
	if a := x.Address(); a != "" {
		return "http://" + a
	}
	return ""
}

// ledger is what an index reads of the chain.
type ledger struct {
	*solana.History
	escrow.Ledger
}

// onChain are reads of what another indexer is asked about.
func onChain(s *Site) (r indexer.OnChainReads) {
	if s.Spending == nil {
		return r
	}
	h := solana.NewHistory(s.Config.Solana.RPC, s.Genesis, s.deps.Chain.Program())
	return indexer.OnChainReads{Rows: indexer.OnChain(h), Channel: indexer.ChannelOnChain(h)}
}

// relayOf is nil without a ledger.
func relayOf(s *Site) public.Relay {
	if s.Spending == nil {
		return nil
	}
	return solana.NewRelay(s.Config.Solana.RPC, s.Genesis, s.deps.Chain.Program())
}

// readsOf is nil without a ledger.
func readsOf(s *Site) indexer.Chain {
	if s.Spending == nil {
		return nil
	}
	return ledger{solana.NewHistory(s.Config.Solana.RPC, s.Genesis, s.deps.Chain.Program()), s.Spending}
}
