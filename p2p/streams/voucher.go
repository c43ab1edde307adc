package streams

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

// A voucher session pings every pingEvery and ends when nothing was heard for readWait. Ticks may be longer than that:
// the pings count.
const (
	pingEvery = 5 * time.Second
	readWait  = 30 * time.Second

	strangerTime = 30 * time.Second
)

// Frames that a customer may send on a voucher session, per second and as burst.
const (
	voucherRate  = 20
	voucherBurst = 100
)

// line is one end of a voucher session: many writers, one reader.
type line struct {
	s  network.Stream
	wm chan struct{} // full while one writes: a channel, since a simulated clock stands still for a mutex that waits
}

func newLine(st network.Stream) *line { return &line{s: st, wm: make(chan struct{}, 1)} }

// write sends one message or resets the stream: half a message may be out.
func (l *line) write(t uint8, body []byte) error {
	if len(body) >= maxVoucherMsg {
		return fmt.Errorf("%w: %d bytes, limit %d", errTooLarge, len(body), maxVoucherMsg-1)
	}
	l.wm <- struct{}{}
	defer func() { <-l.wm }()
	if err := l.s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := writeMsg(l.s, t, body); err != nil {
		_ = l.s.Reset()
		return ofReset(err)
	}
	return nil
}

func (l *line) read() (uint8, []byte, error) {
	if err := l.s.SetReadDeadline(time.Now().Add(readWait)); err != nil {
		return 0, nil, err
	}
	return readMsg(l.s, maxVoucherMsg)
}

// ping keeps the session alive until stop, which waits for a ping in flight: reset the stream first. A failure shows at
// the reader.
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

// supplant makes l the only session of a customer: after a half-open connection the old one would otherwise sit for
// readWait.
func (s *Service) supplant(from market.NodeID, l *line) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.lines[from]; old != nil {
		_ = old.s.ResetWithError(network.StreamSupplanted)
	}
	s.lines[from] = l
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lines[from] == l {
			delete(s.lines, from)
		}
	}
}

func (s *Service) serveVoucher(ctx context.Context, from market.NodeID, st network.Stream) (err error) {
	l := newLine(st)
	defer s.supplant(from, l)()
	stop := l.ping()
	defer stop()
	defer func() { resetFor(st, err) }() // unblocks a ping in flight before stop waits for it
	defer s.hs.Vouchers.Session(from, l.push)()
	bound := rate.NewLimiter(voucherRate, voucherBurst)
	said := time.Now()
	for {
		t, body, err := l.read()
		if err != nil {
			return err
		}
		if t != msgPing {
			said = time.Now()
		} else if time.Since(said) > strangerTime && !s.hs.Vouchers.Deals(from) {
			return errors.New("voucher stream of nobody's lease") // pings alone hold no place that others may need
		}
		if !bound.Allow() {
			_ = st.ResetWithError(network.StreamRateLimited)
			return errors.New("voucher stream over its rate")
		}
		if err := s.voucherMsg(ctx, from, l, t, body); err != nil {
			return err
		}
	}
}

func (s *Service) voucherMsg(ctx context.Context, from market.NodeID, l *line, t uint8, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	switch t {
	case msgPing:
		return nil
	case msgPayment:
		p, err := wire.DecodePayment(body)
		if err != nil {
			return l.write(msgRefusal,
				s.refusal(market.Refuse(market.CodeMalformed, market.KindInvalid, "payment")))
		}
		stored, err := s.hs.Vouchers.Payment(ctx, from, p)
		if err != nil {
			s.log.Debug("Payment refused", "peer", from, "lease", p.Lease, "error", err)
			return l.write(msgRefusal, s.refusal(err))
		}
		s.host.Favour(from, p2p.Leased, time.Now().Add(leasedFor))
		return l.write(msgPaymentAck, binary.BigEndian.AppendUint64(nil, uint64(stored)))
	case msgReleaseRequest:
		var ch market.ChannelID
		if len(body) != len(ch) {
			return l.write(msgRefusal,
				s.refusal(market.Refuse(market.CodeMalformed, market.KindInvalid, "channel")))
		}
		copy(ch[:], body)
		rel, err := s.hs.Vouchers.ReleaseRequest(ctx, from, ch)
		if err != nil {
			s.log.Debug("Release refused", "peer", from, "channel", ch, "error", err)
			return l.write(msgRefusal, s.refusal(err))
		}
		return l.push(VoucherPush{Release: &ReleasePush{Channel: ch, Bytes: rel}})
	}
	return fmt.Errorf("%w: %d on a voucher stream", errMalformed, t)
}

// decodePush returns ok for the messages that a provider sends unasked.
func decodePush(t uint8, body []byte) (p VoucherPush, ok bool, err error) {
	switch t {
	case msgReceipt:
		return VoucherPush{Receipt: body}, true, nil
	case msgStatus:
		st, err := wire.DecodeStatus(body)
		return VoucherPush{Status: &st}, err == nil, err
	case msgRelease:
		var r ReleasePush
		if len(body) != len(r.Channel)+len(r.Bytes) {
			return p, false, fmt.Errorf("%w: release of %d bytes", errMalformed, len(body))
		}
		copy(r.Channel[:], body)
		copy(r.Bytes[:], body[len(r.Channel):])
		return VoucherPush{Release: &r}, true, nil
	}
	return p, false, nil
}
