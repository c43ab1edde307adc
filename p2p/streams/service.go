package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Deadlines of the request streams.
const (
	dialTimeout  = 3 * time.Second
	quoteTimeout = 5 * time.Second
	leaseTimeout = 10 * time.Second
)

// Handlers are what this node serves; a nil one means that its protocol is not spoken.
type Handlers struct {
	Quoter   Quoter
	Leaser   Leaser
	Vouchers VoucherServer
	Tunneler Tunneler
}

// Service speaks the four protocols over a libp2p host. Safe for any goroutine after Register.
type Service struct {
	h      host.Host
	prefix string
	hs     Handlers
	log    *slog.Logger

	quotes, leases, vouchers, tunnels *limiter
}

// New returns a Service for the network's protocol names, "/gpuai/<network>/<name>/1". Nothing is served before Register.
func New(h host.Host, networkName string, hs Handlers, log *slog.Logger) *Service {
	return &Service{
		h: h, prefix: "/gpuai/" + networkName + "/", hs: hs, log: log,
		quotes: newLimiter(5, 20), leases: newLimiter(20, 100), vouchers: newLimiter(2, 10), tunnels: newLimiter(20, 128),
	}
}

func (s *Service) proto(name string) protocol.ID { return protocol.ID(s.prefix + name + "/1") }

// Register starts to serve what Handlers has.
func (s *Service) Register() {
	serve := func(name string, l *limiter, f func(market.NodeID, network.Stream) error) {
		s.h.SetStreamHandler(s.proto(name), func(st network.Stream) {
			from, err := nodeOf(st.Conn().RemotePeer())
			if err != nil || !l.take(from, time.Now()) {
				_ = st.Reset() // over the rate, or not an Ed25519 peer
				return
			}
			if err := f(from, st); err != nil && !errors.Is(err, io.EOF) {
				s.log.Debug("Stream ended", "protocol", name, "peer", from, "error", err)
			}
		})
	}
	if s.hs.Quoter != nil {
		serve("quote", s.quotes, s.serveQuote)
	}
	if s.hs.Leaser != nil {
		serve("lease", s.leases, s.serveLease)
	}
	if s.hs.Vouchers != nil {
		serve("voucher", s.vouchers, s.serveVoucher)
	}
	if s.hs.Tunneler != nil {
		serve("tunnel", s.tunnels, s.serveTunnel)
	}
}

func nodeOf(id peer.ID) (n market.NodeID, err error) {
	key, err := id.ExtractPublicKey()
	if err != nil {
		return n, fmt.Errorf("peer without Ed25519 key: %w", err)
	}
	raw, err := key.Raw()
	if err != nil || len(raw) != len(n) {
		return n, fmt.Errorf("peer key of %d bytes", len(raw))
	}
	copy(n[:], raw)
	return n, nil
}

func peerOf(n market.NodeID) (peer.ID, error) {
	key, err := crypto.UnmarshalEd25519PublicKey(n[:])
	if err != nil {
		return "", fmt.Errorf("node id is no key: %w", err)
	}
	return peer.IDFromPublicKey(key)
}

// open dials if needed (reach: addresses from the peer's own Offer) and opens a stream with a deadline.
func (s *Service) open(ctx context.Context, to market.NodeID, reach []string, name string) (network.Stream, error) {
	id, err := peerOf(to)
	if err != nil {
		return nil, err
	}
	if len(reach) > 0 && s.h.Network().Connectedness(id) != network.Connected {
		info := peer.AddrInfo{ID: id}
		for _, a := range reach {
			if m, err := ma.NewMultiaddr(a); err == nil {
				info.Addrs = append(info.Addrs, m)
			}
		}
		dctx, cancel := context.WithTimeout(ctx, dialTimeout)
		err := s.h.Connect(dctx, info)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", to, err)
		}
	}
	st, err := s.h.NewStream(network.WithAllowLimitedConn(ctx, name), id, s.proto(name))
	if err != nil {
		return nil, fmt.Errorf("open %s stream to %s: %w", name, to, err)
	}
	return st, nil
}

// ask opens a stream, sends one message, and returns the answer; a Refusal comes back as *market.Refusal.
func (s *Service) ask(ctx context.Context, to market.NodeID, reach []string, name string, timeout time.Duration, limit int, t uint8, body []byte) (rt uint8, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	st, err := s.open(ctx, to, reach, name)
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if err != nil {
			_ = st.Reset() // the answer will not be read
			return
		}
		_ = st.Close() // the answer is here; nothing else counts
	}()
	if d, ok := ctx.Deadline(); ok {
		if err := st.SetDeadline(d); err != nil {
			return 0, nil, err
		}
	}
	if err := writeMsg(st, t, body); err != nil {
		return 0, nil, err
	}
	if err := st.CloseWrite(); err != nil {
		return 0, nil, err
	}
	rt, answer, err = readMsg(st, limit)
	if err != nil {
		return 0, nil, fmt.Errorf("answer of %s: %w", to, err)
	}
	if rt == msgRefusal {
		return rt, nil, decodeRefusal(answer)
	}
	return rt, answer, nil
}

func (s *Service) expect(want uint8, got uint8, body []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, fmt.Errorf("peer answered with message %d, want %d", got, want)
	}
	return body, nil
}

// Quote sends an Order envelope and returns the Quote envelope. Errors: *market.Refusal; connection.
func (s *Service) Quote(ctx context.Context, to market.NodeID, reach []string, order []byte) ([]byte, error) {
	t, b, err := s.ask(ctx, to, reach, "quote", quoteTimeout, maxQuoteMsg, msgOrder, order)
	return s.expect(msgQuote, t, b, err)
}

// Propose sends a Lease envelope; nil: received, the Decision follows by Status.
func (s *Service) Propose(ctx context.Context, to market.NodeID, lease []byte) error {
	t, b, err := s.ask(ctx, to, nil, "lease", leaseTimeout, maxLeaseMsg, msgPropose, lease)
	_, err = s.expect(msgAck, t, b, err)
	return err
}

// Status asks for the whole truth about a lease. Refusal: unknown-lease.
func (s *Service) Status(ctx context.Context, to market.NodeID, id market.LeaseID) (market.Status, error) {
	t, b, err := s.ask(ctx, to, nil, "lease", leaseTimeout, maxLeaseMsg, msgStatusRequest, id[:])
	if b, err = s.expect(msgStatus, t, b, err); err != nil {
		return market.Status{}, err
	}
	return wire.DecodeStatus(b)
}

// Stop sends a Stop envelope.
func (s *Service) Stop(ctx context.Context, to market.NodeID, stop []byte) error {
	t, b, err := s.ask(ctx, to, nil, "lease", leaseTimeout, maxLeaseMsg, msgStop, stop)
	_, err = s.expect(msgAck, t, b, err)
	return err
}

// Outcome sends the own Outcome envelope and returns the peer's.
func (s *Service) Outcome(ctx context.Context, to market.NodeID, outcome []byte) ([]byte, error) {
	t, b, err := s.ask(ctx, to, nil, "lease", leaseTimeout, maxLeaseMsg, msgOutcome, outcome)
	return s.expect(msgOutcome, t, b, err)
}
