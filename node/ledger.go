package node

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// Nothing on the way to adopting jobs waits for an endpoint. The genesis hash of a public network is compiled in, that
// of a local one is asked for a moment and kept from the last start; what an endpoint says later is compared by the
// ledger, which then moves no money.
const (
	genesisAsk  = time.Second // at the start of a node on a local network
	genesisPoll = time.Second // until its ledger is there for the first time
)

var keyGenesis = []byte("chain/genesis")

// openLedger opens the ledgers of both accounts once the genesis hash is known. A node without endpoints has none: a
// bootstrap node needs no ledger. Errors: wrong-ledger; ctx's; the store's.
func (n *Node) openLedger(ctx context.Context) (err error) {
	s := &n.site
	if len(s.Config.Solana.RPC) == 0 {
		return nil
	}
	if n.genesis, err = n.knownGenesis(ctx); err != nil {
		return err
	}
	if n.genesis == "" {
		close(n.waiting)
		if err := n.awaitGenesis(ctx); err != nil {
			return err
		}
	}
	if s.Tag, err = escrow.ClusterTag(n.genesis); err != nil {
		return err
	}
	s.Genesis = n.genesis
	chain := s.deps.Chain
	if s.Spending, err = chain.Open(n.genesis, s.keys.spending, market.Amount(s.Config.Wallet.MaxPerDay),
		journal{n.db, "spending/"}, n.log.With("part", "spending")); err != nil {
		return err
	}
	s.Fees, err = chain.Open(n.genesis, s.keys.feePayer, 0, journal{n.db, "fees/"}, n.log.With("part", "fees"))
	return err
}

// knownGenesis is the ledger's genesis hash as far as it is known without waiting; "": a local network's, never seen by
// this node. Errors: wrong-ledger: the endpoint of a local network serves a public one.
func (n *Node) knownGenesis(ctx context.Context) (string, error) {
	net := n.host.Network()
	if net.Genesis != "" {
		return net.Genesis, nil
	}
	ask, cancel := context.WithTimeout(ctx, genesisAsk)
	defer cancel()
	if genesis, err := n.site.deps.Chain.Genesis(ask); err == nil {
		return genesis, n.keepGenesis(ctx, genesis)
	}
	b, err := n.db.Get(store.BucketMeta, keyGenesis)
	return string(b), err
}

// keepGenesis stores what the ledger of a local network says. Errors: wrong-ledger; the store's.
func (n *Node) keepGenesis(ctx context.Context, genesis string) error {
	if err := n.host.Network().CheckGenesis(genesis); err != nil {
		return err
	}
	if _, err := escrow.ClusterTag(genesis); err != nil {
		return fmt.Errorf("reading the genesis hash: %w", err)
	}
	old, err := n.db.Get(store.BucketMeta, keyGenesis)
	if err != nil {
		return err
	}
	if n.replaced = len(old) > 0 && string(old) != genesis; n.replaced {
		n.log.Warn("The ledger is another one than at the last start: money and channels of the old one are gone "+
			"with it", "old", string(old), "new", genesis)
	}
	return n.db.Commit(ctx, store.Change{Puts: []store.Put{{Bucket: store.BucketMeta, Key: keyGenesis,
		Value: []byte(genesis)}}})
}

// awaitGenesis asks until the ledger of a local network has answered once. Error: ctx's, or the store's.
func (n *Node) awaitGenesis(ctx context.Context) error {
	for told := false; ; {
		genesis, err := n.site.deps.Chain.Genesis(ctx)
		if err == nil {
			err = n.keepGenesis(ctx, genesis)
		}
		if err == nil {
			n.genesis = genesis
			return nil
		}
		if !told && ctx.Err() == nil {
			n.log.Warn("Ledger of this network is not known yet; roles start when it answers", "code",
				market.CodeOf(err), "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(genesisPoll):
		}
	}
}
