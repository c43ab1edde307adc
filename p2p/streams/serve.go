package streams

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

// How long a customer keeps a place among the peers after a Quote, and after a lease or a payment.
const (
	quotedFor = 10 * time.Minute
	leasedFor = time.Hour
)

// receive reads the first message of a stream, within the time that the whole exchange has.
func receive(st network.Stream, limit int, timeout time.Duration) (t uint8, body []byte, err error) {
	if err := st.SetDeadline(time.Now().Add(timeout)); err != nil {
		return 0, nil, err
	}
	if t, body, err = readMsg(st, limit); err != nil {
		resetFor(st, err)
	}
	return t, body, err
}

// answer writes the reply or the refusal and closes; the peer's silence after it costs us one deadline.
func (s *Service) answer(st network.Stream, t uint8, body []byte, err error) error {
	if err != nil {
		t, body = msgRefusal, s.refusal(err)
	}
	if werr := writeMsg(st, t, body); werr != nil {
		_ = st.Reset()
		return errors.Join(err, werr)
	}
	if cerr := st.Close(); cerr != nil {
		return errors.Join(err, cerr)
	}
	var r *market.Refusal
	if errors.As(err, &r) {
		return nil // an answer as good as any
	}
	return err // the peer saw "internal", the log says what it was
}

func (s *Service) serveQuote(ctx context.Context, from market.NodeID, st network.Stream) error {
	ctx, cancel := context.WithTimeout(ctx, quoteTimeout)
	defer cancel()
	t, body, err := receive(st, maxQuoteMsg, quoteTimeout)
	if err != nil {
		return err
	}
	if t != msgOrder {
		return s.answer(st, 0, nil, market.Refuse(market.CodeMalformed, market.KindInvalid, "unknown message"))
	}
	q, err := s.hs.Quoter.Quote(ctx, from, body)
	if err == nil {
		s.host.Favour(from, p2p.Quoted, time.Now().Add(quotedFor))
	}
	return s.answer(st, msgQuote, q, err)
}

func (s *Service) serveLease(ctx context.Context, from market.NodeID, st network.Stream) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	t, body, err := receive(st, maxLeaseMsg, leaseTimeout)
	if err != nil {
		return err
	}
	switch t {
	case msgPropose:
		err := s.hs.Leaser.Propose(ctx, from, body)
		if err == nil {
			s.host.Favour(from, p2p.Leased, time.Now().Add(leasedFor))
		}
		return s.answer(st, msgAck, nil, err)
	case msgStop:
		return s.answer(st, msgAck, nil, s.hs.Leaser.Stop(ctx, from, body))
	case msgOutcome:
		own, err := s.hs.Leaser.Outcome(ctx, from, body)
		return s.answer(st, msgOutcome, own, err)
	case msgAmend:
		if a, ok := s.hs.Leaser.(Amender); ok {
			return s.answer(st, msgAck, nil, a.Amend(ctx, from, body))
		}
	case msgStatusRequest:
		var id market.LeaseID
		if len(body) != len(id) {
			return s.answer(st, 0, nil, market.Refuse(market.CodeMalformed, market.KindInvalid, "lease id"))
		}
		copy(id[:], body)
		status, err := s.hs.Leaser.Status(ctx, from, id)
		if err != nil {
			return s.answer(st, 0, nil, err)
		}
		return s.answer(st, msgStatus, wire.EncodeStatus(status), nil)
	}
	return s.answer(st, 0, nil, market.Refuse(market.CodeMalformed, market.KindInvalid, "unknown message"))
}

// decodeOpen reads {lease 16 bytes, kind u8, args ≤ 64 KiB}.
func decodeOpen(t uint8, body []byte) (o TunnelOpen, err error) {
	head := len(o.Lease) + 1
	if t != msgOpen || len(body) < head || len(body) > head+maxFrame {
		return o, market.Refuse(market.CodeMalformed, market.KindInvalid, "tunnel open")
	}
	copy(o.Lease[:], body)
	o.Kind, o.Args = TunnelKind(body[head-1]), body[head:]
	return o, nil
}

func (s *Service) serveTunnel(ctx context.Context, from market.NodeID, st network.Stream) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t, body, err := receive(st, maxOpenMsg, leaseTimeout)
	if err != nil {
		return err
	}
	o, err := decodeOpen(t, body)
	if err != nil {
		return s.answer(st, 0, nil, err)
	}
	if o.Kind == tunnelMove {
		return s.serveMove(from, o, st)
	}
	o.Relayed = st.Conn().Stat().Limited
	octx, ocancel := context.WithTimeout(ctx, leaseTimeout)
	serve, err := s.hs.Tunneler.Open(octx, from, o)
	ocancel()
	if err != nil {
		return s.answer(st, 0, nil, err)
	}
	c := newFrameConn(st, o.Relayed)
	s.register(from, o.Lease, c)
	defer c.over()
	if err := errors.Join(writeMsg(st, msgOpened, c.id), st.SetDeadline(time.Time{})); err != nil {
		_ = st.Reset()
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait() // after the stream's end below, which ends the watcher
	if o.Kind == TunnelLogs {
		wg.Go(func() { watch(c, cancel) })
	}
	if err := serve(ctx, c); err != nil {
		c.Abort()
		return fmt.Errorf("serve tunnel %d: %w", o.Kind, err)
	}
	return c.Close()
}

// watch reads a logs tunnel, on which the customer says nothing, and cancels at its end: a follower of silent logs
// writes nothing, so it would never learn that its reader is gone. Every other kind reads or writes all its life.
func watch(c *FrameConn, cancel context.CancelFunc) {
	defer cancel()
	for {
		if _, _, err := c.Read(); err != nil {
			return
		}
	}
}
