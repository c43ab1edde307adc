package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/past"
	"github.com/gpuai/gpuai/node/store"
)

// endedBuckets are where rows of what has ended lie, but for the events and what package past writes. The ledger's
// records and the answers of the API are kept for a day only, so they are not copied.
var endedBuckets = []string{
	store.BucketOwnPast, store.BucketOwnTimes, store.BucketOwnWords, store.BucketOwnChannels, store.BucketOwnShares,
	store.BucketOwnVouchers, store.BucketLeases, store.BucketChannels, store.BucketShares, store.BucketVouchers,
	store.BucketJobs, store.BucketDebts, store.BucketOwnGone, store.BucketGone,
}

// Copies have ended over how many days, and how many one Change has. All events are read.
const (
	endedDays    = 80
	endedAtOnce  = 3
	endedNoEvent = 1 << 20
)

// ended is all that a store has of an order, or a lease, that is over.
type ended struct {
	order   market.OrderID
	lease   market.LeaseID
	channel market.ChannelID
	at      time.Time // as in its keys
	sold    *past.Lease
	rows    []store.Put
	events  []store.Event
}

// fillEnded copies what has ended in a store until there are n.
func fillEnded(ctx context.Context, path string, n int) (err error) {
	db, err := store.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	list, err := readEnded(db)
	if err != nil {
		return err
	}
	if len(list) != endedReal {
		return fmt.Errorf("%d of %d have left the node's memory", len(list), endedReal)
	}
	step := endedDays * 24 * time.Hour / time.Duration(n)
	for i := 0; i < n-len(list); {
		var c store.Change
		for range min(endedAtOnce, n-len(list)-i) {
			list[i%len(list)].copyTo(&c, time.Duration(i+1)*step)
			i++
		}
		if err := db.Commit(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// readEnded reads what has ended, with all rows that name it.
func readEnded(db *store.Store) (list []*ended, err error) {
	if list, err = boughtAndSold(db); err != nil {
		return nil, err
	}
	events, _, _, err := db.Events(0, endedNoEvent)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		for _, e := range events {
			if e.ID == x.order.String() || e.ID == x.lease.String() || e.ID == x.channel.String() {
				x.events = append(x.events, e)
			}
		}
		for _, bucket := range endedBuckets {
			err := db.Scan(bucket, nil, func(k, v []byte) error {
				if x.isNamed(k) {
					x.rows = append(x.rows, store.Put{Bucket: bucket, Key: k, Value: v})
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// boughtAndSold lists the orders and leases that have left the memory of the store's node. A sold one's channel is any
// of those that were used.
func boughtAndSold(db *store.Store) (list []*ended, err error) {
	err = db.Scan(store.BucketOwnPast, nil, func(_, v []byte) error {
		var o struct {
			ID       market.OrderID
			LeaseID  market.LeaseID
			Created  time.Time
			Purchase market.Purchase
		}
		n, at := binary.Uvarint(v)
		if at <= 0 || n > uint64(len(v)-at) {
			return errors.New("past order: its row is none")
		}
		if err := store.Unrow(v[at+int(n):], &o); err != nil {
			return err
		}
		list = append(list, &ended{order: o.ID, lease: o.LeaseID, channel: o.Purchase.Channel, at: o.Created})
		return nil
	})
	if err != nil {
		return nil, err
	}
	sold, _, err := past.Page(db, nil, 2*endedReal)
	if err != nil {
		return nil, err
	}
	for _, l := range sold {
		list = append(list, &ended{order: l.Order.Nonce, lease: l.Tick.Lease.ID, at: l.Tick.Lease.Ended, sold: &l})
	}
	for _, bucket := range []string{store.BucketChannels, store.BucketGone} {
		err = errors.Join(err, db.Scan(bucket, nil, func(k, _ []byte) error {
			for _, x := range list {
				if x.channel == (market.ChannelID{}) {
					x.channel = market.ChannelID(k)
					break
				}
			}
			return nil
		}))
	}
	return list, err
}

// isNamed reports whether a key has one of the ids.
func (x *ended) isNamed(key []byte) bool {
	for _, id := range [][]byte{x.order[:], x.lease[:], x.channel[:], []byte(x.order.String()),
		[]byte(x.lease.String())} {
		if bytes.Contains(key, id) {
			return true
		}
	}
	return false
}

// copyTo puts a copy with ids of its own that is older by ago.
func (x *ended) copyTo(c *store.Change, ago time.Duration) {
	var order market.OrderID
	var lease market.LeaseID
	var channel market.ChannelID
	for _, b := range [][]byte{order[:], lease[:], channel[:]} {
		_, _ = rand.Read(b) // it never fails
	}
	at := x.at.Add(-ago)
	key := func(at time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())) }
	created := func(at time.Time) []byte { return store.Row(map[string]time.Time{"Created": at})[2:] }
	pairs := [][2][]byte{{x.order[:], order[:]}, {x.lease[:], lease[:]}, {x.channel[:], channel[:]},
		{[]byte(x.order.String()), []byte(order.String())}, {[]byte(x.lease.String()), []byte(lease.String())},
		{[]byte(x.channel.String()), []byte(channel.String())}, {key(x.at), key(at)}}
	rename := func(b []byte) []byte {
		for _, p := range pairs {
			b = bytes.ReplaceAll(b, p[0], p[1])
		}
		return b
	}
	for _, r := range x.rows {
		value := bytes.ReplaceAll(rename(r.Value), bytes.TrimSuffix(created(x.at), []byte("}")),
			bytes.TrimSuffix(created(at), []byte("}")))
		c.Puts = append(c.Puts, store.Put{Bucket: r.Bucket, Key: rename(r.Key), Value: value})
	}
	for _, e := range x.events {
		e.ID, e.At = string(rename([]byte(e.ID))), e.At.Add(-ago)
		c.Events = append(c.Events, e)
	}
	if x.sold != nil {
		l := *x.sold
		l.Tick.Lease.ID, l.Tick.Lease.Ended, l.Order.Nonce = lease, at, order
		past.Put(c, l)
	}
}
