package streams

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
)

// Deadlines of the request streams.
const (
	quoteTimeout = 5 * time.Second
	leaseTimeout = 10 * time.Second
)

// Handlers are what this node serves; a nil one means that its protocol is not spoken.
type Handlers struct {
	Quoter   Quoter
	Wanter   Wanter
	Leaser   Leaser
	Vouchers VoucherServer
	Tunneler Tunneler
}

// Service speaks the protocols as a host. Safe for any goroutine. Streams end with the host.
type Service struct {
	host *p2p.Host
	hs   Handlers
	log  *slog.Logger

	mu     sync.Mutex
	lines  map[market.NodeID]*line // one voucher session per customer
	serves map[[idBytes]byte]serving
	opens  map[*FrameConn]opened
}

// New returns a Service that serves what hs has from now on. A lease stream carries one message, so its rate is that of
// messages.
func New(h *p2p.Host, hs Handlers, log *slog.Logger) *Service {
	s := &Service{host: h, hs: hs, log: log, lines: map[market.NodeID]*line{},
		serves: map[[idBytes]byte]serving{}, opens: map[*FrameConn]opened{}}
	h.OnPath(s.moveAll)
	if hs.Quoter != nil {
		s.serve("quote", p2p.Limits{Rate: 5, Burst: 20, All: 200, Memory: maxQuoteMsg}, s.serveQuote)
	}
	if hs.Wanter != nil {
		s.serve("want", p2p.Limits{Rate: 1 / ReplyEvery.Seconds(), Burst: repliesBurst, All: repliesAll,
			Memory: maxQuoteMsg}, s.serveWant)
	}
	if hs.Leaser != nil {
		s.serve("lease", p2p.Limits{Rate: 20, Burst: 100, All: 500, Memory: maxLeaseMsg}, s.serveLease)
	}
	if hs.Vouchers != nil {
		s.serve("voucher", p2p.Limits{Rate: 2, Burst: 10, All: 100, Memory: maxVoucherMsg}, s.serveVoucher)
	}
	if hs.Tunneler != nil {
		s.serve("tunnel", p2p.Limits{Rate: 20, Burst: 128, All: 500, Memory: maxFrame}, s.serveTunnel)
	}
	return s
}

func (s *Service) serve(name string, l p2p.Limits,
	f func(context.Context, market.NodeID, network.Stream) error) {
	s.host.Handle(name, l, func(from market.NodeID, st network.Stream) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if err := f(ctx, from, st); err != nil && !errors.Is(err, io.EOF) {
			s.log.Debug("Stream ended", "protocol", name, "peer", from, "error", err)
			if errors.Is(err, errTooLarge) || errors.Is(err, errMalformed) {
				s.host.Blame(from, err)
			}
		}
	})
}
