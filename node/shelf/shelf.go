// Package shelf keeps rows of what is over and has left memory, in the order of a time, for 90 days.
//
// Invariants: a row and the key that orders it come and go in one Change. Concurrency: any goroutine. Persistence: two
// buckets, ID → row and time ms u64 ‖ ID → 1. Next: node/provider/past, node/customer/archive.go.
package shelf

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/node/store"
)

// Life is how long what is over is kept.
const Life = 90 * 24 * time.Hour

// idLen is the length of an id, pruneStep how many rows one Change forgets.
const (
	idLen     = 16
	pruneStep = 500
)

// Shelf names the buckets: of the rows, and of the keys that order them.
type Shelf struct{ Rows, Times string }

// Row is one row; Key is its place among the others.
type Row struct {
	Key, Value []byte
	ID         [idLen]byte
}

// at is the time that the row is ordered by, to the millisecond.
func (r Row) at() time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(r.Key))) }

// KeyOf orders a row.
func KeyOf(at time.Time, id [idLen]byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(max(at.UnixMilli(), 0))), id[:]...)
}

// Put adds a row to a Change.
func (s Shelf) Put(c *store.Change, at time.Time, id [idLen]byte, value []byte) {
	c.Puts = append(c.Puts, store.Put{Bucket: s.Rows, Key: id[:], Value: value},
		store.Put{Bucket: s.Times, Key: KeyOf(at, id), Value: []byte{1}})
}

// Page lists at most n rows after a key, nil: from the first; backwards those before it, the last first. next is what
// the following page begins after, nil at the end. Errors: the store's; a key that is none.
func (s Shelf) Page(db *store.Store, after []byte, n int, backwards bool) (list []Row, next []byte, err error) {
	keys, err := db.Page(s.Times, after, n, backwards)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range keys {
		r, err := s.row(db, k.Key)
		if err != nil {
			return nil, nil, err
		}
		if r.Value != nil { // else it was pruned meanwhile
			list = append(list, r)
		}
	}
	if len(keys) == n && n > 0 {
		next = keys[n-1].Key
	}
	return list, next, nil
}

// row reads the row that a key orders.
func (s Shelf) row(db *store.Store, key []byte) (r Row, err error) {
	if len(key) != 8+idLen {
		return r, fmt.Errorf("key %x of %s is of no row", key, s.Times)
	}
	r.Key = key
	copy(r.ID[:], key[8:])
	r.Value, err = db.Get(s.Rows, r.ID[:])
	return r, err
}

// Prune forgets rows whose time is more than Life ago, and with each what with names; its ok false keeps the row.
// Errors: as Page, with's, and the store's Commit.
func (s Shelf) Prune(ctx context.Context, db *store.Store, now time.Time,
	with func(Row) (refs []store.Ref, ok bool, err error)) error {
	for after, more := []byte(nil), true; more; {
		keys, err := db.Page(s.Times, after, pruneStep, false)
		if err != nil {
			return err
		}
		var c store.Change
		more = len(keys) == pruneStep
		for _, k := range keys {
			after = k.Key
			if len(k.Key) > 8 && now.Sub((Row{Key: k.Key}).at()) < Life {
				more = false
				break
			}
			r, err := s.row(db, k.Key)
			if err != nil {
				return err
			}
			refs, ok, err := with(r)
			if err != nil {
				return err
			}
			if ok {
				c.Deletes = append(append(c.Deletes, refs...), store.Ref{Bucket: s.Times, Key: r.Key},
					store.Ref{Bucket: s.Rows, Key: r.ID[:]})
			}
		}
		if len(c.Deletes) == 0 {
			continue
		}
		if err := db.Commit(ctx, c); err != nil {
			return fmt.Errorf("forget what is over: %w", err)
		}
	}
	return nil
}
