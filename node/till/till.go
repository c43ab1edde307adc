// Package till keeps the books of channels, for both roles: accounts, vouchers and the shares of leases. What happens
// at once is one Change of the store: a voucher and the tick of the lease that it pays, a lease and the device that it
// takes.
//
// Invariants: an entry's rows are queued in the order in which entries are made; Write returns nil only once all of the
// book is on disk, so nothing that it covers leaves before. Concurrency: any goroutine. One lock orders a role's
// entries; it is held while memory changes and a Change is queued, never while one is stored, so entries of one channel
// follow each other without waiting for the disk. What an entry calls must not wait either.
// Persistence: per channel a JSON row of what changes seldom, and one small row for each share and each voucher
// (node/rows). Next: Book.Write, docs/flows/payment.md, docs/adr/0010-the-till.md.
package till

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// Buckets are where a role's books lie, Past: those that have left. Only who is paid keeps more vouchers than the
// newest.
type Buckets struct {
	Channels, Shares, Vouchers, Past string
	keep                             bool
}

// The books of the roles.
var (
	Selling = Buckets{store.BucketChannels, store.BucketShares, store.BucketVouchers, store.BucketGone, true}
	Buying  = Buckets{store.BucketOwnChannels, store.BucketOwnShares, store.BucketOwnVouchers, store.BucketOwnGone,
		false}
)

// diskAgain is how often a full disk is tried again.
const diskAgain = time.Second

// Till is the books of one role. R is what the role keeps of a channel beside its account: its fields have JSON tags,
// and what it points to is never changed, only replaced.
type Till[R comparable] struct {
	db      disk
	buckets Buckets

	mu sync.Mutex
}

// disk is what a till needs of a *store.Store.
type disk interface {
	Queue(c store.Change, then func(error)) error
	Commit(ctx context.Context, c store.Change) error
	Get(bucket string, key []byte) ([]byte, error)
	Scan(bucket string, prefix []byte, f func(key, value []byte) error) error
}

// New returns a till that keeps its books in db.
func New[R comparable](db *store.Store, buckets Buckets) *Till[R] {
	return &Till[R]{db: db, buckets: buckets}
}

// cold is what changes seldom of an account.
type cold struct {
	voucherKey                        [32]byte
	phase                             escrow.Phase
	deposit, seen, settled, sentToPay market.Amount
	deadline, releaseTo               int64
	past                              escrow.Past
}

func coldOf(a *escrow.Account) cold {
	return cold{a.VoucherKey, a.Phase, a.Deposit, a.Seen, a.Settled, a.SentToPay, a.Deadline, a.ReleaseTo, a.Past}
}

// Queue stores what f puts, in the order of the entries, and returns once it is on disk. f is called under the till's
// lock. Errors: the store's.
func (t *Till[R]) Queue(f func(*store.Change)) error {
	done := make(chan error, 1)
	var c store.Change
	t.mu.Lock()
	f(&c)
	err := t.db.Queue(c, func(err error) { done <- err })
	t.mu.Unlock()
	if err != nil {
		return err
	}
	return <-done
}

// coldRow is a channel's row. Its account has no shares, and vouchers only where the book has left.
type coldRow[R comparable] struct {
	Account escrow.Account `json:"account"`
	Own     R              `json:"own"`
}

// Book is one channel.
type Book[R comparable] struct {
	t  *Till[R]
	id market.ChannelID

	// guarded by the till's lock
	account escrow.Account
	own     R
	queued  stored[R] // what the Changes that were queued leave on disk
	behind  bool      // one of them was not stored: the next one says all
	stale   []store.Ref
	waits   int // Changes that are queued and not stored
	past    bool
}

// stored is what a book's rows say.
type stored[R comparable] struct {
	cold     cold
	own      R
	known    bool // the cold row is there
	shares   map[market.LeaseID]escrow.Share
	vouchers []*escrow.Signed
}

// Open returns a book for a channel, in memory only until its first Write.
func (t *Till[R]) Open(account escrow.Account, own R) *Book[R] {
	return &Book[R]{t: t, id: account.Channel, account: account, own: own}
}

// Entry is a book while it is written: change its fields, and add to the Change. Account's maps and slices are shared
// with others: only its methods make a new one.
type Entry[R comparable] struct {
	Account escrow.Account
	Own     R
	Past    bool // the book has left: it takes no lease

	add []func(*store.Change)
}

// Add lets f put something of another owner into the same Change. It is called once for each try to store that, in the
// till's order, and must not wait.
func (e *Entry[R]) Add(f func(*store.Change)) { e.add = append(e.add, f) }

// Event adds an event to the Change.
func (e *Entry[R]) Event(told ...store.Event) {
	e.Add(func(c *store.Change) { c.Events = append(c.Events, told...) })
}

// ID is the channel.
func (b *Book[R]) ID() market.ChannelID { return b.id }

// See returns the books as they are. They may be ahead of the disk: what leaves on their account leaves after Write.
func (b *Book[R]) See() (escrow.Account, R) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	return b.account, b.own
}

// Note changes what is known of a channel, in memory: the next Write stores it.
func (b *Book[R]) Note(f func(*Entry[R])) {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	e := &Entry[R]{Account: b.account, Own: b.own, Past: b.past}
	f(e)
	b.account, b.own = e.Account, e.Own
}

// Write makes one entry and returns once all of the book is on disk; nothing to write that is not there is free. f is
// called under the till's lock; its error is returned and changes nothing. Errors: f's; the store's: then the entry
// stands in memory and is stored with the next one. With wait, a full disk is waited for until ctx ends.
func (b *Book[R]) Write(ctx context.Context, wait bool, f func(*Entry[R]) error) error {
	b.t.mu.Lock()
	e := &Entry[R]{Account: b.account, Own: b.own, Past: b.past}
	if err := f(e); err != nil {
		b.t.mu.Unlock()
		return err
	}
	b.account, b.own = e.Account, e.Own
	for {
		done, err := b.queue(e)
		b.t.mu.Unlock()
		if err == nil {
			err = <-done
		}
		if !wait || !errors.Is(err, store.ErrDiskFull) {
			return err
		}
		if await.Sleep(ctx, diskAgain) != nil {
			return err
		}
		b.t.mu.Lock()
	}
}

// queue makes the Change of an entry and queues it; done says how it ended. Caller holds the till's lock.
func (b *Book[R]) queue(e *Entry[R]) (done chan error, err error) {
	var c store.Change
	was, now := b.queued, b.rows()
	if b.behind {
		was, c.Deletes = stored[R]{}, slices.Clone(b.stale)
	}
	b.diff(&c, was, now)
	for _, add := range e.add {
		add(&c)
	}
	done = make(chan error, 1)
	if len(c.Puts)+len(c.Deletes)+len(c.Events)+len(c.Guards) == 0 && b.waits == 0 {
		done <- nil
		return done, nil
	}
	err = b.t.db.Queue(c, func(err error) { done <- b.ended(c, err) })
	if err != nil {
		b.behind = true
		return nil, err
	}
	b.queued, b.behind, b.stale = now, false, nil
	b.waits++
	return done, nil
}

// ended notes how a Change ended. An earlier one of the book that was not stored is this one's failure too: what it
// said is not on disk.
func (b *Book[R]) ended(c store.Change, err error) error {
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.waits--
	if err != nil {
		b.behind = true
		b.stale = append(b.stale, c.Deletes...)
	} else if b.behind {
		return store.ErrDiskFull
	}
	return err
}

// rows is what the book's rows should say.
func (b *Book[R]) rows() stored[R] {
	s := stored[R]{cold: coldOf(&b.account), own: b.own, known: true}
	if b.past {
		return s
	}
	s.shares, s.vouchers = b.account.Leases, b.account.Kept
	if n := b.account.Newest; n.Amount > 0 &&
		(len(s.vouchers) == 0 || s.vouchers[len(s.vouchers)-1].Amount < n.Amount) {
		s.vouchers = append(slices.Clip(s.vouchers), &n)
	}
	return s
}

func (b *Book[R]) coldRow() []byte {
	r := coldRow[R]{Account: b.account, Own: b.own}
	r.Account.Leases = nil
	if b.past {
		r.Account.Kept = r.Account.Kept[:min(len(r.Account.Kept),
			1)] // the earned one, should the chain have been a lie
	} else {
		r.Account.Kept, r.Account.Newest = nil, escrow.Signed{}
	}
	return store.Row(r)
}

// diff puts what is not as it was. Vouchers ascend.
func (b *Book[R]) diff(c *store.Change, was, now stored[R]) {
	k := b.t.buckets
	puts := func(bucket string, key, value []byte) {
		c.Puts = append(c.Puts, store.Put{Bucket: bucket, Key: key, Value: value})
	}
	if was.cold != now.cold || was.own != now.own || was.known != now.known {
		bucket := k.Channels
		if b.past {
			bucket = k.Past
		}
		puts(bucket, b.id[:], b.coldRow())
	}
	for id, s := range now.shares {
		if old, ok := was.shares[id]; !ok || old != s {
			puts(k.Shares, rows.ShareKey(b.id, id), rows.EncodeShare(s))
		}
	}
	for id := range was.shares {
		if _, ok := now.shares[id]; !ok {
			c.Deletes = append(c.Deletes, store.Ref{Bucket: k.Shares, Key: rows.ShareKey(b.id, id)})
		}
	}
	i := 0
	for _, v := range now.vouchers {
		if i < len(was.vouchers) && was.vouchers[i] == v {
			i++
			continue
		}
		for ; i < len(was.vouchers) && was.vouchers[i].Amount < v.Amount; i++ {
			c.Deletes = append(c.Deletes,
				store.Ref{Bucket: k.Vouchers, Key: rows.VoucherKey(b.id, was.vouchers[i].Amount)})
		}
		if i < len(was.vouchers) && *was.vouchers[i] == *v {
			i++
			continue
		}
		puts(k.Vouchers, rows.VoucherKey(b.id, v.Amount), rows.EncodeVoucher(*v))
	}
	for ; i < len(was.vouchers); i++ {
		c.Deletes = append(c.Deletes, store.Ref{Bucket: k.Vouchers, Key: rows.VoucherKey(b.id, was.vouchers[i].Amount)})
	}
}

// Forget deletes a channel of which nothing is to be kept. Errors: the store's.
func (b *Book[R]) Forget(ctx context.Context) error {
	b.t.mu.Lock()
	var c store.Change
	b.diff(&c, b.queued, stored[R]{})
	c.Puts = nil
	c.Deletes = append(c.Deletes, store.Ref{Bucket: b.t.buckets.Channels, Key: b.id[:]})
	b.t.mu.Unlock()
	return b.t.db.Commit(context.WithoutCancel(ctx), c)
}

// Load reads all books. Errors: the store's; a row that is none.
func (t *Till[R]) Load() (map[market.ChannelID]*Book[R], error) {
	books := map[market.ChannelID]*Book[R]{}
	err := t.db.Scan(t.buckets.Channels, nil, func(k, v []byte) error {
		var cold coldRow[R]
		if err := store.Unrow(v, &cold); err != nil || len(k) != len(market.ChannelID{}) {
			return fmt.Errorf("channel row %x: %w", k, errors.Join(err, rows.ErrRow))
		}
		b := t.Open(cold.Account, cold.Own)
		b.id = market.ChannelID(k)
		b.account.Leases = map[market.LeaseID]escrow.Share{}
		b.account.Newest.Channel = b.id
		books[b.id] = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := t.loadShares(books); err != nil {
		return nil, err
	}
	if err := t.loadVouchers(books); err != nil {
		return nil, err
	}
	for _, b := range books {
		if !t.buckets.keep {
			b.account.Kept = nil
		}
		b.queued = b.rows()
	}
	return books, nil
}

func (t *Till[R]) loadShares(books map[market.ChannelID]*Book[R]) error {
	return t.db.Scan(t.buckets.Shares, nil, func(k, v []byte) error {
		n := len(market.ChannelID{})
		s, err := rows.DecodeShare(v)
		if err != nil || len(k) != n+len(market.LeaseID{}) || books[market.ChannelID(k[:n])] == nil {
			return fmt.Errorf("share row %x: %w", k, errors.Join(err, rows.ErrRow))
		}
		books[market.ChannelID(k[:n])].account.Leases[market.LeaseID(k[n:])] = s
		return nil
	})
}

// loadVouchers: the highest voucher is the newest. Which of them may go is decided with the next entry.
func (t *Till[R]) loadVouchers(books map[market.ChannelID]*Book[R]) error {
	return t.db.Scan(t.buckets.Vouchers, nil, func(k, v []byte) error {
		s, err := rows.DecodeVoucher(v)
		b := books[s.Channel]
		if err == nil && b == nil {
			if gone, err := t.db.Get(t.buckets.Past, s.Channel[:]); gone != nil || err != nil {
				return err
			}
		}
		if err != nil || b == nil || !bytes.Equal(k, rows.VoucherKey(s.Channel, s.Amount)) {
			return fmt.Errorf("voucher row %x: %w", k, errors.Join(err, rows.ErrRow))
		}
		b.account.Kept, b.account.Newest = append(b.account.Kept, &s), s
		return nil
	})
}
