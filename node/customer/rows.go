package customer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"sort"
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

// load reads channels and orders, and goes on with those that are not over.
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
	var again, refund []*orderRun
	err = c.db.Scan(bucketOrders, nil, func(k, v []byte) error {
		r := &orderRun{c: c, subs: map[chan struct{}]struct{}{}}
		if err := store.Unrow(v, &r.row); err != nil {
			return fmt.Errorf("order row %x: %w", k, err)
		}
		c.runs[r.row.ID] = r
		c.order = append(c.order, r.row.ID)
		if s := r.row.Standing; s == StandingInputs {
			// it waits on
		} else if s != StandingEnded && s != StandingFailed || lingers(&r.row) {
			r.resumed, r.stop = true, r.row.StopAsked && (r.row.Lease == nil || r.row.Lease.State == market.Proposed)
			again = append(again, r)
		} else if !r.row.Finished && !r.row.RefundLater && r.row.Channel != (market.ChannelID{}) {
			refund = append(refund, r) // the last start ended before its money came back
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.endForgotten(ctx); err != nil {
		return err
	}
	sort.Slice(c.order, func(i,
		j int) bool {
		return c.runs[c.order[i]].row.Created.Before(c.runs[c.order[j]].row.Created)
	})
	c.wg.Go(func() {
		for _, r := range again {
			c.start <- r
		}
	})
	for _, r := range refund {
		c.wg.Go(func() { c.finishChannel(ctx, r.row.Channel, r) })
	}
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
