package till

import (
	"errors"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// Leave moves books to where Load does not read them, each in one Change: for channels of which nothing changes any
// more. One that got a lease meanwhile stays. What is written to one nevertheless is stored there. Errors: the store's;
// all books are past then as well, and the next Write of one stores that.
func (t *Till[R]) Leave(list ...*Book[R]) error {
	var waits []chan error
	var errs []error
	t.mu.Lock()
	for _, b := range list {
		if b.past || len(b.account.Leases) > 0 {
			continue
		}
		b.past, b.queued.known = true, false
		e := &Entry[R]{}
		e.Add(func(c *store.Change) {
			c.Deletes = append(c.Deletes, store.Ref{Bucket: t.buckets.Channels, Key: b.id[:]})
		})
		done, err := b.queue(e)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		waits = append(waits, done)
	}
	t.mu.Unlock()
	for _, done := range waits {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

// Left reports that the book has left.
func (b *Book[R]) Left() bool {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	return b.past
}

// Past reads a book that has left; nil: there is none. Errors: the store's; a row that is none.
func (t *Till[R]) Past(id market.ChannelID) (*Book[R], error) {
	v, err := t.db.Get(t.buckets.Past, id[:])
	if err != nil || v == nil {
		return nil, err
	}
	return t.pastBook(id[:], v)
}

// EachPast calls f for each book that has left. Errors: as Past.
func (t *Till[R]) EachPast(f func(*Book[R])) error {
	return t.db.Scan(t.buckets.Past, nil, func(k, v []byte) error {
		b, err := t.pastBook(k, v)
		if err == nil {
			f(b)
		}
		return err
	})
}

func (t *Till[R]) pastBook(k, v []byte) (*Book[R], error) {
	var r coldRow[R]
	if err := store.Unrow(v, &r); err != nil || len(k) != len(market.ChannelID{}) {
		return nil, fmt.Errorf("past channel row %x: %w", k, errors.Join(err, rows.ErrRow))
	}
	b := t.Open(r.Account, r.Own)
	b.id, b.past = market.ChannelID(k), true
	b.account.Leases = map[market.LeaseID]escrow.Share{}
	b.queued = b.rows()
	return b, nil
}
