package streams

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// A voucher session pings every pingEvery and ends when nothing was heard for readWait.
const (
	pingEvery = 5 * time.Second
	readWait  = 30 * time.Second
)

// line is one end of a voucher session: many writers, one reader.
type line struct {
	s  network.Stream
	wm sync.Mutex
}

func (l *line) write(t uint8, body []byte) error {
	l.wm.Lock()
	defer l.wm.Unlock()
	if err := l.s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return writeMsg(l.s, t, body)
}

func (l *line) read() (uint8, []byte, error) {
	if err := l.s.SetReadDeadline(time.Now().Add(readWait)); err != nil {
		return 0, nil, err
	}
	return readMsg(l.s, maxVoucherMsg)
}

// ping keeps the session alive until stop; a failure shows at the reader.
func (l *line) ping() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(pingEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if l.write(msgPing, nil) != nil {
					return
				}
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (l *line) push(p VoucherPush) error {
	switch {
	case p.Receipt != nil:
		return l.write(msgReceipt, p.Receipt)
	case p.Status != nil:
		return l.write(msgStatus, wire.EncodeStatus(*p.Status))
	case p.Release != nil:
		return l.write(msgRelease, append(append([]byte{}, p.Release.Channel[:]...), p.Release.Bytes[:]...))
	}
	return errors.New("empty push")
}

func (s *Service) serveVoucher(from market.NodeID, st network.Stream) error {
	l := &line{s: st}
	defer st.Close()
	stop := l.ping()
	defer stop()
	defer func() { _ = st.Reset() }() // unblocks a ping in flight before stop waits for it
	closed := s.hs.Vouchers.Session(from, l.push)
	defer closed()
	rate := newLimiter(20, 100)
	for {
		t, body, err := l.read()
		if err != nil {
			return err
		}
		if !rate.take(from, time.Now()) {
			return errors.New("voucher stream over its rate")
		}
		if err := s.voucherMsg(from, l, t, body); err != nil {
			return err
		}
	}
}

func (s *Service) voucherMsg(from market.NodeID, l *line, t uint8, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	switch t {
	case msgPing:
		return nil
	case msgPayment:
		p, err := wire.DecodePayment(body)
		if err != nil {
			return l.write(msgRefusal, encodeRefusal(market.Refuse("malformed", market.KindInvalid, "payment")))
		}
		stored, err := s.hs.Vouchers.Payment(ctx, from, p)
		if err != nil {
			return l.write(msgRefusal, encodeRefusal(err))
		}
		return l.write(msgPaymentAck, encodeU64(uint64(stored)))
	case msgReleaseRequest:
		var ch market.ChannelID
		if len(body) != len(ch) {
			return l.write(msgRefusal, encodeRefusal(market.Refuse("malformed", market.KindInvalid, "channel")))
		}
		copy(ch[:], body)
		rel, err := s.hs.Vouchers.ReleaseRequest(ctx, from, ch)
		if err != nil {
			return l.write(msgRefusal, encodeRefusal(err))
		}
		return l.push(VoucherPush{Release: &ReleasePush{Channel: ch, Bytes: rel}})
	}
	return fmt.Errorf("unexpected message %d", t)
}

func encodeU64(v uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return b
}

func decodeU64(b []byte) (v uint64, err error) {
	if len(b) != 8 {
		return 0, errors.New("number of another length")
	}
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v, nil
}

// session is the customer's end. Answers arrive in the order of requests, so one request is in flight at a time.
type session struct {
	*line
	stop    func()
	pushes  chan VoucherPush
	answers chan reply
	reqMu   sync.Mutex
	// wantRelease: the next Release answers a request; it is a push as well.
	wantRelease atomic.Bool
	done        chan struct{}
	err         error
	once        sync.Once
}

type reply struct {
	t    uint8
	body []byte
}

// Vouchers opens the session with a provider; Close it.
func (s *Service) Vouchers(ctx context.Context, to market.NodeID) (VoucherSession, error) {
	octx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	st, err := s.open(octx, to, nil, "voucher")
	if err != nil {
		return nil, err
	}
	v := &session{line: &line{s: st}, pushes: make(chan VoucherPush, 64), answers: make(chan reply, 1), done: make(chan struct{})}
	if err := v.write(msgPing, nil); err != nil { // opens the lazy stream at the peer
		_ = st.Reset()
		return nil, err
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
		if err != nil {
			v.err = err
			return
		}
		p, isPush, err := decodePush(t, body)
		switch {
		case err != nil:
			v.err = err
			return
		case isPush:
			if p.Release != nil && v.wantRelease.CompareAndSwap(true, false) {
				v.answers <- reply{t, body} // the request's own answer; the buffer is free, one request is in flight
			}
			select {
			case v.pushes <- p:
			default: // a slow reader loses old pushes, never new truth: the next one is cumulative
				<-v.pushes
				v.pushes <- p
			}
		case t == msgPing:
		default:
			select {
			case v.answers <- reply{t, body}:
			default:
				v.err = errors.New("answer without a request")
				return
			}
		}
	}
}

func decodePush(t uint8, body []byte) (p VoucherPush, ok bool, err error) {
	switch t {
	case msgReceipt:
		return VoucherPush{Receipt: body}, true, nil
	case msgStatus:
		st, err := wire.DecodeStatus(body)
		return VoucherPush{Status: &st}, true, err
	case msgRelease:
		var r ReleasePush
		if len(body) != len(r.Channel)+len(r.Bytes) {
			return p, false, errors.New("release of another length")
		}
		copy(r.Channel[:], body)
		copy(r.Bytes[:], body[len(r.Channel):])
		return VoucherPush{Release: &r}, true, nil
	}
	return p, false, nil
}

// Recv returns the next push. Errors: the session's end.
func (v *session) Recv(ctx context.Context) (VoucherPush, error) {
	select {
	case p := <-v.pushes:
		return p, nil
	case <-ctx.Done():
		return VoucherPush{}, ctx.Err()
	case <-v.done:
		return VoucherPush{}, fmt.Errorf("voucher session: %w", v.err)
	}
}

func (v *session) request(ctx context.Context, t uint8, body []byte) (reply, error) {
	v.reqMu.Lock()
	defer v.reqMu.Unlock()
	if err := v.write(t, body); err != nil {
		return reply{}, err
	}
	select {
	case r := <-v.answers:
		if r.t == msgRefusal {
			return r, decodeRefusal(r.body)
		}
		return r, nil
	case <-ctx.Done():
		return reply{}, ctx.Err()
	case <-v.done:
		return reply{}, fmt.Errorf("voucher session: %w", v.err)
	}
}

// Pay sends a Payment and returns the total that the provider has stored.
func (v *session) Pay(ctx context.Context, p market.Payment) (market.Amount, error) {
	r, err := v.request(ctx, msgPayment, wire.EncodePayment(p))
	if err != nil {
		return 0, err
	}
	if r.t != msgPaymentAck {
		return 0, fmt.Errorf("peer answered a payment with message %d", r.t)
	}
	n, err := decodeU64(r.body)
	return market.Amount(n), err
}

// ReleaseRequest asks for the Release of a channel without live leases.
func (v *session) ReleaseRequest(ctx context.Context, ch market.ChannelID) (out [114]byte, err error) {
	v.wantRelease.Store(true)
	r, err := v.request(ctx, msgReleaseRequest, ch[:])
	v.wantRelease.Store(false)
	if err != nil {
		return out, err
	}
	p, ok, err := decodePush(r.t, r.body)
	if err != nil || !ok || p.Release == nil || p.Release.Channel != ch {
		return out, fmt.Errorf("peer answered a release request with message %d", r.t)
	}
	return p.Release.Bytes, nil
}

// Close ends the session and waits for its goroutines.
func (v *session) Close() error {
	v.once.Do(v.stop)
	return nil
}
