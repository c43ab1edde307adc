package customer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/streams"
)

// Bounds of replies to own Wants: how many are looked at at once, and how long one waits for its order to ask it.
const (
	maxReplies = 16
	replyWait  = 2 * time.Second
)

// replies are the providers that have replied to a Want and wait for the Order: it goes to them on their own stream.
type replies struct {
	mu sync.Mutex
	of map[market.NodeID]*reply
}

// reply is one of them.
type reply struct {
	order  chan []byte // one place
	answer chan replyAnswer
}

type replyAnswer struct {
	quote []byte
	err   error
}

// enter takes a provider's reply in; nil: there are too many, or one of it waits already.
func (l *replies) enter(from market.NodeID) *reply {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[from] != nil || len(l.of) >= maxReplies {
		return nil
	}
	if l.of == nil {
		l.of = map[market.NodeID]*reply{}
	}
	r := &reply{make(chan []byte, 1), make(chan replyAnswer, 1)}
	l.of[from] = r
	return r
}

// leave ends it.
func (l *replies) leave(from market.NodeID, r *reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[from] == r {
		delete(l.of, from)
	}
}

// take returns the reply of a provider that waits, once; nil: there is none.
func (l *replies) take(from market.NodeID) *reply {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.of[from]
	delete(l.of, from)
	return r
}

// ask sends an Order the way the reply came, and waits for the Quote.
func (r *reply) ask(ctx context.Context, order []byte) ([]byte, error) {
	r.order <- order
	select {
	case a := <-r.answer:
		return a.quote, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Replied implements streams.Wanter: the Offer goes into the book, and an order that waits for what it sells asks it.
func (c *Customer) Replied(ctx context.Context, from market.NodeID, want market.DocID, offer []byte) (order []byte,
	quoted func(quote []byte, err error), err error) {
	waiting, known := c.wants.waiting(want)
	if !known {
		return nil, nil, streams.ErrBadReply
	}
	if len(waiting) == 0 {
		return nil, nil, market.Refuse(market.CodeWantOver, market.KindNotFound, "nobody waits for it any more")
	}
	r := c.replies.enter(from)
	if r == nil {
		return nil, nil, market.Refuse(market.CodeBusy, market.KindUnavailable, "other replies are looked at")
	}
	defer c.replies.leave(from, r)
	o, raw, err := c.net.Heard(from, offer)
	switch {
	case errors.Is(err, offers.ErrInvalid):
		return nil, nil, fmt.Errorf("%w: %w", streams.ErrBadReply, err)
	case err != nil: // such as a clock that differs
		return nil, nil, market.Refuse(market.CodeDoesNotFit, market.KindConflict, err.Error())
	}
	c.Book.Offer(o, raw)
	if why := c.call(ctx, waiting, o); why != nil {
		return nil, nil, why
	}
	ctx, cancel := context.WithTimeout(ctx, replyWait)
	defer cancel()
	select {
	case order := <-r.order:
		return order, func(quote []byte, err error) { r.answer <- replyAnswer{quote, err} }, nil
	case <-ctx.Done():
		return nil, nil, market.Refuse(market.CodeWantOver, market.KindNotFound, "another rig was asked")
	}
}

// call has the order that waits longest for what an Offer sells ask its provider, whatever it has heard of it before.
// Refusal: does-not-fit.
func (c *Customer) call(ctx context.Context, waiting []market.OrderID, o market.Offer) error {
	var why book.Rejected
	for _, id := range waiting {
		run := c.run(id.String())
		if run == nil {
			continue
		}
		req := run.snapshot().wish()
		var ok bool
		if _, ok, why = book.Serves(o, c.cfg.query(&req, c.now()), c.now()); ok {
			run.place.heed(o.Provider)
			run.happens(ctx, market.BookMoved{Round: run.purchase().Round}, nil)
			return nil
		}
	}
	return market.Refuse(market.CodeDoesNotFit, market.KindConflict, why.Text)
}
