package streams

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// What a customer's session holds back: pushes that nobody received yet, requests that nobody answered yet.
const (
	maxPushes  = 64
	maxPending = 64
)

// session is the customer's end. The provider answers in the order of the requests, so the oldest one waiting is the
// one answered; one whose caller has gone stays in line.
type session struct {
	*line
	stop   func()
	pushes chan VoucherPush
	done   chan struct{}
	err    error // valid once done is closed
	once   sync.Once

	sendMu  sync.Mutex // held while a request is written: pending is in the order of the wire
	mu      sync.Mutex
	pending []waiting
}

// waiting is a request without an answer; channel is set for a ReleaseRequest.
type waiting struct {
	channel *market.ChannelID
	answer  chan reply
}

type reply struct {
	t    uint8
	body []byte
}

// Vouchers opens the session with a provider; Close it. Errors: *market.Refusal (rate-limited, busy); connection.
func (s *Service) Vouchers(ctx context.Context, to market.NodeID) (VoucherSession, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	st, err := s.open(ctx, to, nil, "voucher")
	if err != nil {
		return nil, err
	}
	v := &session{line: newLine(st), pushes: make(chan VoucherPush, maxPushes), done: make(chan struct{})}
	if err := v.write(msgPing, nil); err != nil { // opens the lazy stream at the peer
		return nil, lost(to, fmt.Errorf("open voucher stream: %w", err))
	}
	stopPing := v.ping()
	var wg sync.WaitGroup
	wg.Go(v.readLoop)
	v.stop = func() { _ = st.Reset(); stopPing(); wg.Wait() }
	return v, nil
}

func (v *session) readLoop() {
	defer close(v.done)
	for {
		t, body, err := v.read()
		if err == nil {
			err = v.take(t, body)
		}
		if err != nil {
			resetFor(v.s, err)
			v.err = ofReset(err)
			return
		}
	}
}

// take sorts one message: a push, the answer of the oldest request, or both (a Release that was asked for). It never
// blocks.
func (v *session) take(t uint8, body []byte) error {
	p, isPush, err := decodePush(t, body)
	if err != nil || t == msgPing {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if p.Release != nil && len(v.pending) > 0 {
		if ch := v.pending[0].channel; ch != nil && *ch == p.Release.Channel {
			v.answer(t, body)
		}
	}
	if !isPush {
		if len(v.pending) == 0 {
			return fmt.Errorf("%w: answer %d without a request", errMalformed, t)
		}
		v.answer(t, body)
		return nil
	}
	select {
	case v.pushes <- p:
		return nil
	default:
	}
	select { // a slow reader loses old pushes, never new truth: the next one is cumulative
	case <-v.pushes:
	default:
	}
	v.pushes <- p // there is room: the read loop is the only sender
	return nil
}

// answer gives the oldest request its answer. Caller holds mu.
func (v *session) answer(t uint8, body []byte) {
	v.pending[0].answer <- reply{t, body} // one place, one answer
	v.pending = v.pending[1:]
}

// Recv returns the next push. Errors: the session's end, after the last push that came.
func (v *session) Recv(ctx context.Context) (VoucherPush, error) {
	select {
	case p := <-v.pushes:
		return p, nil
	case <-ctx.Done():
		return VoucherPush{}, ctx.Err()
	case <-v.done:
	}
	select {
	case p := <-v.pushes: // what came before the end counts: it may be the Release
		return p, nil
	default:
		return VoucherPush{}, fmt.Errorf("voucher session: %w", v.err)
	}
}

func (v *session) send(t uint8, body []byte, ch *market.ChannelID) (<-chan reply, error) {
	v.sendMu.Lock()
	defer v.sendMu.Unlock()
	w := waiting{channel: ch, answer: make(chan reply, 1)}
	v.mu.Lock()
	full := len(v.pending) >= maxPending
	if !full {
		v.pending = append(v.pending, w) // before the write: the answer may be faster than we are
	}
	v.mu.Unlock()
	if full {
		return nil, market.Refuse(market.CodeBusy, market.KindUnavailable, "too many requests wait for the provider")
	}
	return w.answer, v.write(t, body)
}

func (v *session) request(ctx context.Context, t uint8, body []byte, ch *market.ChannelID) (reply, error) {
	answer, err := v.send(t, body, ch)
	if err != nil {
		return reply{}, err
	}
	var r reply
	select {
	case r = <-answer:
	case <-ctx.Done():
		return r, ctx.Err()
	case <-v.done:
		select {
		case r = <-answer: // it came before the end
		default:
			return r, fmt.Errorf("voucher session: %w", v.err)
		}
	}
	if r.t == msgRefusal {
		return r, decodeRefusal(r.body)
	}
	return r, nil
}

// Pay sends a Payment and returns the total that the provider has stored.
func (v *session) Pay(ctx context.Context, p market.Payment) (market.Amount, error) {
	r, err := v.request(ctx, msgPayment, wire.EncodePayment(p), nil)
	if err != nil {
		return 0, err
	}
	if r.t != msgPaymentAck || len(r.body) != 8 {
		return 0, fmt.Errorf("%w: answer %d of %d bytes to a payment", errMalformed, r.t, len(r.body))
	}
	return market.Amount(binary.BigEndian.Uint64(r.body)), nil
}

// ReleaseRequest asks for the Release of a channel without live leases.
func (v *session) ReleaseRequest(ctx context.Context, ch market.ChannelID) (out [114]byte, err error) {
	r, err := v.request(ctx, msgReleaseRequest, ch[:], &ch)
	if err != nil {
		return out, err
	}
	p, _, err := decodePush(r.t, r.body)
	if err != nil || p.Release == nil {
		return out, fmt.Errorf("%w: answer %d to a release request", errMalformed, r.t)
	}
	return p.Release.Bytes, nil
}

// Close ends the session and waits for its goroutines.
func (v *session) Close() error {
	v.once.Do(v.stop)
	return nil
}
