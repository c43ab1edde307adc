package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// lost is the error of a peer that could not be dialled, or did not answer: one that says something itself stays.
// Error: peer-unreachable.
func lost(to market.NodeID, err error) error {
	if market.CodeOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, errMalformed) ||
		errors.Is(err, errRefusal) || errors.Is(err, errTooLarge) {
		return err
	}
	return &market.Error{
		Code: market.CodePeerUnreachable, Kind: market.KindUnavailable, Op: "ask node " + to.Short(),
		Detail: "it does not answer", Hint: "try later, or another provider", Err: err,
	}
}

// open dials if needed (reach: addresses from the peer's own Offer) and opens a stream.
func (s *Service) open(ctx context.Context, to market.NodeID, reach []string, name string) (network.Stream, error) {
	st, err := s.host.Open(ctx, to, reach, name)
	if err != nil {
		return nil, lost(to, fmt.Errorf("open %s stream: %w", name, ofReset(err)))
	}
	return st, nil
}

// request is one question on a stream: a message of at most limit bytes either way.
type request struct {
	name    string
	timeout time.Duration
	limit   int
	t, want uint8
}

// exchange sends one message and reads the answer. It ends with ctx; the stream is reset on any error.
func (q request) exchange(ctx context.Context, st network.Stream, body []byte) (answer []byte, err error) {
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
	defer stop()
	defer func() {
		if err == nil {
			return
		}
		_ = st.Reset() // nothing more will be read
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
	}()
	if err := st.SetDeadline(time.Now().Add(q.timeout)); err != nil {
		return nil, err
	}
	if err := writeMsg(st, q.t, body); err != nil {
		return nil, ofReset(err)
	}
	t, answer, err := readMsg(st, q.limit)
	if err != nil {
		return nil, ofReset(err)
	}
	if t == msgRefusal {
		return nil, decodeRefusal(answer)
	}
	if t != q.want {
		return nil, fmt.Errorf("%w: answer %d, want %d", errMalformed, t, q.want)
	}
	return answer, nil
}

// ask opens a stream, sends one message and returns the answer; a Refusal comes back as *market.Refusal.
func (s *Service) ask(ctx context.Context, to market.NodeID, reach []string, q request, body []byte) ([]byte, error) {
	if len(body) >= q.limit {
		return nil, market.Refuse(market.CodeTooLarge, market.KindInvalid,
			fmt.Sprintf("message of %d bytes, limit %d", len(body), q.limit-1))
	}
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	st, err := s.open(ctx, to, reach, q.name)
	if err != nil {
		return nil, err
	}
	b, err := q.exchange(ctx, st, body)
	if err != nil {
		return nil, lost(to, fmt.Errorf("ask: %w", err))
	}
	_ = st.Close() // the answer is here; nothing else counts
	return b, nil
}

func leaseRequest(t, want uint8) request {
	return request{"lease", leaseTimeout, maxLeaseMsg, t, want}
}

// Quote sends an Order envelope and returns the Quote envelope; reach are addresses of the peer's own Offer (the first
// 4 are tried), nil if it is connected. All in all 5 s. Errors: *market.Refusal; connection.
func (s *Service) Quote(ctx context.Context, to market.NodeID, reach []string, order []byte) ([]byte, error) {
	return s.ask(ctx, to, reach, request{"quote", quoteTimeout, maxQuoteMsg, msgOrder, msgQuote}, order)
}

// Propose sends a Lease envelope; nil: received, the Decision follows by Status.
func (s *Service) Propose(ctx context.Context, to market.NodeID, lease []byte) error {
	_, err := s.ask(ctx, to, nil, leaseRequest(msgPropose, msgAck), lease)
	return err
}

// Status asks for the whole truth about a lease. Refusal: unknown-lease.
func (s *Service) Status(ctx context.Context, to market.NodeID, id market.LeaseID) (market.Status, error) {
	b, err := s.ask(ctx, to, nil, leaseRequest(msgStatusRequest, msgStatus), id[:])
	if err != nil {
		return market.Status{}, err
	}
	st, err := wire.DecodeStatus(b)
	if err == nil && st.Lease != id {
		err = fmt.Errorf("%w: status of lease %s, asked for %s", errMalformed, st.Lease, id)
	}
	return st, err
}

// Stop sends a Stop envelope.
func (s *Service) Stop(ctx context.Context, to market.NodeID, stop []byte) error {
	_, err := s.ask(ctx, to, nil, leaseRequest(msgStop, msgAck), stop)
	return err
}

// Amend sends an Amend envelope; nil: the provider has it on disk. Refusal malformed: it is an older node.
func (s *Service) Amend(ctx context.Context, to market.NodeID, amend []byte) error {
	_, err := s.ask(ctx, to, nil, leaseRequest(msgAmend, msgAck), amend)
	return err
}

// Outcome sends the own Outcome envelope and returns the peer's.
func (s *Service) Outcome(ctx context.Context, to market.NodeID, outcome []byte) ([]byte, error) {
	return s.ask(ctx, to, nil, leaseRequest(msgOutcome, msgOutcome), outcome)
}

// Tunnel opens a tunnel of a lease within 10 s; after that it has no time limit and ctx no part in it. Errors:
// *market.Refusal; connection. The caller closes the FrameConn.
func (s *Service) Tunnel(ctx context.Context, to market.NodeID, o TunnelOpen) (*FrameConn, error) {
	if len(o.Args) > maxFrame {
		return nil, market.Refuse(market.CodeTooLarge, market.KindInvalid,
			fmt.Sprintf("tunnel arguments of %d bytes, limit %d", len(o.Args), maxFrame))
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	st, err := s.open(ctx, to, nil, "tunnel")
	if err != nil {
		return nil, err
	}
	q := request{"tunnel", leaseTimeout, maxQuoteMsg, msgOpen, msgOpened}
	id, err := q.exchange(ctx, st, append(append(append([]byte{}, o.Lease[:]...), byte(o.Kind)), o.Args...))
	if err != nil {
		return nil, lost(to, fmt.Errorf("open tunnel: %w", err))
	}
	if err := st.SetDeadline(time.Time{}); err != nil {
		_ = st.Reset()
		return nil, err
	}
	c := newFrameConn(st, st.Conn().Stat().Limited)
	s.keep(to, o.Lease, id, c)
	return c, nil
}
