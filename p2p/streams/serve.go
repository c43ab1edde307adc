package streams

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// answer writes the reply or the refusal and closes; the peer's silence after it costs us one deadline.
func answer(st network.Stream, t uint8, body []byte, err error) error {
	if err != nil {
		t, body = msgRefusal, encodeRefusal(err)
	}
	if err := writeMsg(st, t, body); err != nil {
		_ = st.Reset()
		return err
	}
	return st.Close()
}

func (s *Service) serveQuote(from market.NodeID, st network.Stream) error {
	ctx, cancel := context.WithTimeout(context.Background(), quoteTimeout)
	defer cancel()
	if err := st.SetDeadline(time.Now().Add(quoteTimeout)); err != nil {
		return err
	}
	t, body, err := readMsg(st, maxQuoteMsg)
	if err != nil || t != msgOrder {
		_ = st.Reset()
		return fmt.Errorf("message %d: %w", t, err)
	}
	q, err := s.hs.Quoter.Quote(ctx, from, body)
	return answer(st, msgQuote, q, err)
}

func (s *Service) serveLease(from market.NodeID, st network.Stream) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	if err := st.SetDeadline(time.Now().Add(leaseTimeout)); err != nil {
		return err
	}
	t, body, err := readMsg(st, maxLeaseMsg)
	if err != nil {
		_ = st.Reset()
		return err
	}
	switch t {
	case msgPropose:
		return answer(st, msgAck, nil, s.hs.Leaser.Propose(ctx, from, body))
	case msgStop:
		return answer(st, msgAck, nil, s.hs.Leaser.Stop(ctx, from, body))
	case msgOutcome:
		own, err := s.hs.Leaser.Outcome(ctx, from, body)
		return answer(st, msgOutcome, own, err)
	case msgStatusRequest:
		var id market.LeaseID
		if len(body) != len(id) {
			return answer(st, 0, nil, market.Refuse("malformed", market.KindInvalid, "lease id"))
		}
		copy(id[:], body)
		status, err := s.hs.Leaser.Status(ctx, from, id)
		if err != nil {
			return answer(st, 0, nil, err)
		}
		return answer(st, msgStatus, wire.EncodeStatus(status), nil)
	}
	return answer(st, 0, nil, market.Refuse("malformed", market.KindInvalid, "unknown message"))
}

func (s *Service) serveTunnel(from market.NodeID, st network.Stream) error {
	if err := st.SetDeadline(time.Now().Add(leaseTimeout)); err != nil {
		return err
	}
	t, body, err := readMsg(st, maxOpenMsg)
	if err != nil || t != msgOpen || len(body) < 17 {
		_ = st.Reset()
		return fmt.Errorf("message %d: %w", t, err)
	}
	o := TunnelOpen{Kind: TunnelKind(body[16]), Args: body[17:]}
	copy(o.Lease[:], body)
	// A silent tunnel lives as long as its lease: the context ends with the connection.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	serve, err := s.hs.Tunneler.Open(ctx, from, o)
	if err != nil {
		return answer(st, 0, nil, err)
	}
	if err := writeMsg(st, msgOpened, nil); err != nil {
		_ = st.Reset()
		return err
	}
	if err := st.SetDeadline(time.Time{}); err != nil {
		return err
	}
	stop := watchConn(st, cancel)
	defer stop()
	c := &FrameConn{s: st}
	if err := serve(ctx, c); err != nil {
		c.Abort()
		return err
	}
	return c.Close()
}

// watchConn cancels when the connection is gone, so that a follower of silent logs ends with its peer.
func watchConn(st network.Stream, cancel context.CancelFunc) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				if st.Conn().IsClosed() {
					cancel()
					return
				}
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// Tunnel opens a tunnel of a lease. Errors: *market.Refusal; connection. The caller closes the FrameConn.
func (s *Service) Tunnel(ctx context.Context, to market.NodeID, o TunnelOpen) (*FrameConn, error) {
	octx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	st, err := s.open(octx, to, nil, "tunnel")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*FrameConn, error) {
		_ = st.Reset()
		return nil, err
	}
	if err := st.SetDeadline(time.Now().Add(leaseTimeout)); err != nil {
		return fail(err)
	}
	body := append(append(append([]byte{}, o.Lease[:]...), byte(o.Kind)), o.Args...)
	if err := writeMsg(st, msgOpen, body); err != nil {
		return fail(err)
	}
	t, b, err := readMsg(st, maxQuoteMsg)
	if err != nil {
		return fail(err)
	}
	if t == msgRefusal {
		return fail(decodeRefusal(b))
	}
	if t != msgOpened {
		return fail(fmt.Errorf("peer answered with message %d", t))
	}
	if err := st.SetDeadline(time.Time{}); err != nil {
		return fail(err)
	}
	return &FrameConn{s: st}, nil
}
