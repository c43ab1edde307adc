package customer

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
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
	c.mu.Lock()
	defer c.mu.Unlock()
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
		c.channels[id] = &channel{Book: b, id: id, key: key, loaded: true, closing: make(chan struct{}, 1)}
	}
	err = c.db.Scan(bucketOrders, nil, func(k, v []byte) error {
		row, err := readOrder(v, c.tickOf)
		if err != nil {
			return fmt.Errorf("order row %x: %w", k, err)
		}
		r := c.newRun(row)
		r.kept.purchase = row.Purchase
		c.runs[row.ID] = r
		c.order = append(c.order, row.ID)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(c.order, func(i, j market.OrderID) int {
		return c.runs[i].row.Created.Compare(c.runs[j].row.Created)
	})
	return nil
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
