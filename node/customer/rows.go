package customer

import (
	"bytes"
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
	bucketOrders   = store.BucketOrders
	bucketChannels = store.BucketOwnChannels
)

func row(v any) []byte { return store.Row(v) }

func (c *Customer) put(ctx context.Context, bucket string, key, value []byte, events ...store.Event) error {
	return c.db.Commit(ctx, store.Change{Puts: []store.Put{{Bucket: bucket, Key: key, Value: value}}, Events: events})
}

// load reads channels and orders.
func (c *Customer) load(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.db.Scan(bucketChannels, nil, func(k, v []byte) error {
		ch := &channel{id: market.ChannelID(k), loaded: true, saved: bytes.Clone(v), closing: make(chan struct{}, 1)}
		if err := store.Unrow(v, &ch.row); err != nil {
			return fmt.Errorf("channel row %x: %w", k, err)
		}
		key, err := c.keys.Voucher(c.cfg.ClusterTag, c.cfg.Payer, ch.row.Terms.Payee, ch.row.Terms.Mint, ch.row.N)
		if err != nil {
			return err
		}
		ch.key, ch.phase = key, ch.row.Account.Phase
		c.channels[ch.id] = ch
		return nil
	})
	if err != nil {
		return err
	}
	err = c.db.Scan(bucketOrders, nil, func(k, v []byte) error {
		row, err := readOrder(v)
		if err != nil {
			return fmt.Errorf("order row %x: %w", k, err)
		}
		c.runs[row.ID] = c.newRun(row)
		c.order = append(c.order, row.ID)
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.endForgotten(ctx); err != nil {
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
