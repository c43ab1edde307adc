package node

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
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

// knownGenesis is the ledger's genesis hash as far as it is known without waiting; "": a local network's, never seen by
// this node. Errors: wrong-ledger: the endpoint of a local network serves a public one.
func (p *parts) knownGenesis(ctx context.Context) (string, error) {
	n := p.host.Network()
	if n.Genesis != "" {
		return n.Genesis, nil
	}
	ask, cancel := context.WithTimeout(ctx, genesisAsk)
	defer cancel()
	if genesis, err := solana.Genesis(ask, p.cfg.Solana.RPC); err == nil {
		return genesis, p.keepGenesis(ctx, genesis)
	}
	b, err := p.db.Get(store.BucketMeta, keyGenesis)
	return string(b), err
}

// keepGenesis stores what the ledger of a local network says. Errors: wrong-ledger; the store's.
func (p *parts) keepGenesis(ctx context.Context, genesis string) error {
	if err := p.host.Network().CheckGenesis(genesis); err != nil {
		return err
	}
	if _, err := escrow.ClusterTag(genesis); err != nil {
		return fmt.Errorf("reading the genesis hash: %w", err)
	}
	old, err := p.db.Get(store.BucketMeta, keyGenesis)
	if err != nil {
		return err
	}
	if p.replaced = len(old) > 0 && string(old) != genesis; p.replaced {
		p.log.Warn("The ledger is another one than at the last start: money and channels of the old one are gone "+
			"with it", "old", string(old), "new", genesis)
	}
	return p.db.Commit(ctx, store.Change{Puts: []store.Put{{Bucket: store.BucketMeta, Key: keyGenesis,
		Value: []byte(genesis)}}})
}

// awaitLedger asks until the ledger of a local network has answered once, and opens it. Error: ctx's, or the store's.
func (p *parts) awaitLedger(ctx context.Context) error {
	for told := false; ; {
		genesis, err := solana.Genesis(ctx, p.cfg.Solana.RPC)
		if err == nil {
			err = p.keepGenesis(ctx, genesis)
		}
		if err == nil {
			p.genesis = genesis
			return p.openLedger()
		}
		if !told && ctx.Err() == nil {
			p.log.Warn("Ledger of this network is not known yet; roles start when it answers", "code",
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
