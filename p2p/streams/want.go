package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

// ErrBadReply reports a reply that no version of this program sends: to a Want that its receiver never had, or with an
// Offer that is not the sender's.
var ErrBadReply = errors.New("bad reply to a want")

// A provider replies to one customer so often, and all providers together.
const (
	ReplyEvery   = 10 * time.Second
	repliesBurst = 2
	repliesAll   = 20 // per second, of all providers
	maxReplyMsg  = 16 + wire.MaxOffer + 1
)

// Reply tells a customer that one of its Wants can be served, with the own Offer, and has quoter answer the Order that
// comes back; reach are the addresses of the Want, nil if the customer is connected. All in all 5 s. Errors:
// *market.Refusal, such as want-over; connection.
func (s *Service) Reply(ctx context.Context, to market.NodeID, reach []string, want market.DocID, offer []byte,
	quoter Quoter) error {
	ctx, cancel := context.WithTimeout(ctx, quoteTimeout)
	defer cancel()
	st, err := s.open(ctx, to, reach, "want")
	if err != nil {
		return err
	}
	q := request{"want", quoteTimeout, maxQuoteMsg, msgWantReply, msgOrder}
	order, err := q.exchange(ctx, st, append(want[:], offer...))
	if err != nil {
		return lost(to, fmt.Errorf("reply: %w", err))
	}
	quote, err := quoter.Quote(ctx, to, order)
	if err == nil {
		s.host.Favour(to, p2p.Quoted, time.Now().Add(quotedFor))
	}
	return s.answer(st, msgQuote, quote, err)
}

func (s *Service) serveWant(ctx context.Context, from market.NodeID, st network.Stream) error {
	ctx, cancel := context.WithTimeout(ctx, quoteTimeout)
	defer cancel()
	t, body, err := receive(st, maxReplyMsg, quoteTimeout)
	if err != nil {
		return err
	}
	var id market.DocID
	if t != msgWantReply || len(body) <= len(id) {
		return s.answer(st, 0, nil, market.Refuse(market.CodeMalformed, market.KindInvalid, "reply to a want"))
	}
	copy(id[:], body)
	order, quoted, err := s.hs.Wanter.Replied(ctx, from, id, body[len(id):])
	if errors.Is(err, ErrBadReply) {
		s.host.Blame(from, err)
		err = market.Refuse(market.CodeWantOver, market.KindNotFound, "this node has no such want")
	}
	if err != nil {
		return s.answer(st, 0, nil, err)
	}
	q := request{"want", quoteTimeout, maxQuoteMsg, msgOrder, msgQuote}
	quote, err := q.exchange(ctx, st, order)
	quoted(quote, err)
	if err == nil {
		_ = st.Close() // the quote is here; nothing else counts
	}
	return nil // quoted was told
}
