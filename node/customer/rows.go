package customer

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Buckets of this role.
const (
	bucketOrders = store.BucketOrders
	bucketTicks  = store.BucketOwnTicks
)

// load reads channels and orders.
func (c *Customer) load(ctx context.Context) error {
	books, err := c.till.Load()
	if err != nil {
		return fmt.Errorf("load channels: %w", err)
	}
	for id, b := range books {
		_, row := b.See()
		key, err := c.keys.Voucher(c.cfg.ClusterTag, c.cfg.Payer, row.Terms.Payee, row.Terms.Mint, row.N)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.channels[id] = &channel{Book: b, id: id, key: key, loaded: true, closing: make(chan struct{}, 1)}
		c.mu.Unlock()
	}
	return c.orders.load()
}

// imageName is the Order's image: name@digest of the manifest, also where the user pinned another one (an index, which
// the registry resolved).
func imageName(i spec.ImageRef) string {
	name, _, _ := strings.Cut(i.Ref, "@")
	return name + "@" + i.Manifest
}

// signBind binds a voucher key to our node and a channel; the provider checks it.
func signBind(key ed25519.PrivateKey, node market.NodeID, ch market.ChannelID) (sig [64]byte) {
	copy(sig[:], ed25519.Sign(key, append(append([]byte("gpuai/bind/1"), node[:]...), ch[:]...)))
	return sig
}
