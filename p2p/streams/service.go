package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/gpuai/gpuai/market"
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

// Service speaks the four protocols over a libp2p host. Safe for any goroutine after Register. Streams end with the
// host.
type Service struct {
	h      host.Host
	prefix string
	hs     Handlers
	log    *slog.Logger

	quotes, leases, vouchers, tunnels *limiter

	mu    sync.Mutex
	lines map[market.NodeID]*line // one voucher session per customer
}

// New returns a Service for the network's protocol names, "/gpuai/<network>/<name>/1". Nothing is served before
// Register. New streams per second, per peer (burst) and from all: a lease stream carries one message, so its rate is
// that of messages.
func New(h host.Host, networkName string, hs Handlers, log *slog.Logger) *Service {
	return &Service{
		h: h, prefix: "/gpuai/" + networkName + "/", hs: hs, log: log, lines: map[market.NodeID]*line{},
		quotes: newLimiter(5, 20, 200), leases: newLimiter(20, 100, 500), vouchers: newLimiter(2, 10, 100),
		tunnels: newLimiter(20, 128, 500),
	}
}

func (s *Service) proto(name string) protocol.ID { return protocol.ID(s.prefix + name + "/1") }

// Register starts to serve what Handlers has.
func (s *Service) Register() {
	serve := func(name string, l *limiter, limit int, f func(context.Context, market.NodeID, network.Stream) error) {
		s.h.SetStreamHandler(s.proto(name), func(st network.Stream) {
			from, err := nodeOf(st.Conn().RemotePeer())
			if err != nil || !l.take(from, time.Now()) {
				_ = st.ResetWithError(network.StreamRateLimited) // or not an Ed25519 peer
				return
			}
			// The stream's scope gives the memory back when the stream ends.
			if err := st.Scope().ReserveMemory(limit, network.ReservationPriorityAlways); err != nil {
				_ = st.ResetWithError(network.StreamResourceLimitExceeded)
				return
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if err := f(ctx, from, st); err != nil && !errors.Is(err, io.EOF) {
				s.log.Debug("Stream ended", "protocol", name, "peer", from, "error", err)
			}
		})
	}
	if s.hs.Quoter != nil {
		serve("quote", s.quotes, maxQuoteMsg, s.serveQuote)
	}
	if s.hs.Leaser != nil {
		serve("lease", s.leases, maxLeaseMsg, s.serveLease)
	}
	if s.hs.Vouchers != nil {
		serve("voucher", s.vouchers, maxVoucherMsg, s.serveVoucher)
	}
	if s.hs.Tunneler != nil {
		serve("tunnel", s.tunnels, maxFrame, s.serveTunnel)
	}
}

func nodeOf(id peer.ID) (n market.NodeID, err error) {
	key, err := id.ExtractPublicKey()
	if err != nil {
		return n, fmt.Errorf("peer without Ed25519 key: %w", err)
	}
	raw, err := key.Raw()
	if err != nil {
		return n, fmt.Errorf("read peer key: %w", err)
	}
	if key.Type() != crypto.Ed25519 || len(raw) != len(n) {
		return n, fmt.Errorf("peer key of type %s, want Ed25519", key.Type())
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
