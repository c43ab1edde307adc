package customer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Book is the offers that this node has heard of, ranked by what it saw of their providers. All methods are safe for
// any goroutine.
type Book struct {
	cfg   *Config
	db    *store.Store
	clock *lease.Clock
	log   *slog.Logger
	began time.Time
	marks marks

	mu       sync.RWMutex
	book     *book.Book
	standing standing
	near     distances     // see Near
	count    uint64        // its changes
	next     chan struct{} // closed at the next one
}

func newBook(cfg *Config, db *store.Store, clock *lease.Clock, log *slog.Logger) *Book {
	return &Book{cfg: cfg, db: db, clock: clock, log: log, began: time.Now(), near: distances{},
		marks: marks{turn: make(chan struct{}, 1)},
		book:  book.New(), standing: standing{}, next: make(chan struct{})}
}

// Offer takes one verified Offer from gossip or sync.
func (b *Book) Offer(o market.Offer, raw []byte) {
	env, err := wire.Parse(raw, b.cfg.Network)
	if err != nil {
		return // it was verified before; this cannot happen
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if _, err := b.book.Put(o, env.ID, raw, now); err != nil && !errors.Is(err, book.ErrOld) {
		b.log.Warn("Offer was not kept", "provider", o.Provider, "error", err)
	}
	b.tell(o.Provider)
	b.standing.tell(b.book, o, now)
	b.count++
	close(b.next)
	b.next = make(chan struct{})
}

// Gone drops a provider that had to make room for others.
func (b *Book) Gone(p market.NodeID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.book.Remove(p)
}

// changes is how often the book has changed, and what is closed at the next time.
func (b *Book) changes() (count uint64, next <-chan struct{}) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.count, b.next
}

// moved waits until the book has changed since seen, and returns what it counts then. Errors: ctx's.
func (b *Book) moved(ctx context.Context, seen uint64) (uint64, error) {
	for {
		count, next := b.changes()
		if count != seen {
			return count, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return seen, ctx.Err()
		}
	}
}

// AwaitOffers returns once the book holds an Offer that sells, or settleIn after the start.
func (b *Book) AwaitOffers(ctx context.Context) {
	b.await(ctx, func() bool { return len(b.Offers()) > 0 })
}

// AwaitFit returns once something fits a request, or settleIn after the start: the first Offer heard may be of another
// kind of rig. Where the request ranks by distance, it is measured then.
func (b *Book) AwaitFit(ctx context.Context, r *Request) {
	b.await(ctx, func() bool { res, _ := b.match(r, 1, false); return len(res.Candidates) > 0 })
	b.soundFor(ctx, r)
}

func (b *Book) await(ctx context.Context, enough func() bool) {
	ctx, cancel := context.WithDeadline(ctx, b.began.Add(settleIn))
	defer cancel()
	seen, _ := b.changes()
	err := ctx.Err()
	for err == nil && !enough() {
		seen, err = b.moved(ctx, seen)
	}
}

// Offers returns the book as it is.
func (b *Book) Offers() []market.Offer {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.book.Expire(b.clock.Now())
	return b.book.Offers()
}

// reached notes how a provider is reached.
func (b *Book) reached(p market.NodeID, relayed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.book.Reached(p, relayed, b.clock.Now())
}

// offerOf is the newest Offer of a provider; false: there is none.
func (b *Book) offerOf(p market.NodeID) (o market.Offer, id market.DocID, known bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o, id, _, known = b.book.Get(p)
	return o, id, known
}

// patience is how long an order waits for an offer that fits; patient: this node's book may not have filled yet.
func (b *Book) patience(patient bool) time.Duration {
	if patient {
		return resumeFor
	}
	return max(time.Until(b.began.Add(settleIn)), 0)
}

// Match ranks the book for a request and explains every rejection. rented: the candidates fit but for a free device,
// and no other does.
func (b *Book) Match(r *Request) (res book.Result, rented bool) {
	return b.match(r, topQuotes, true)
}

// query is what a request asks of the book.
func (c *Config) query(r *Request, now time.Time) book.Query {
	o := c.makeOrder(r, now)
	q := book.QueryOf(o)
	q.Order, q.Sort = o.Nonce, r.File.Placement.Sort
	q.Providers, q.Exclude = r.File.Placement.Providers, r.File.Placement.Exclude
	q.Direct = c.needsDirect(r)
	return q
}

func (b *Book) match(r *Request, limit int, explain bool) (res book.Result, rented bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	q := b.cfg.query(r, b.clock.Now())
	q.Limit, q.Explain = limit, explain
	if res = b.book.Match(q, b.clock.Now()); len(res.Candidates) > 0 {
		return res, false
	}
	q.Rented, q.Explain = true, false
	if all := b.book.Match(q, b.clock.Now()); len(all.Candidates) > 0 {
		res.Candidates = all.Candidates
		return res, true
	}
	return res, false
}
