package p2ptest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
)

// Options of a simulated network. The zero value has 50 ms one way between any two hosts and 100 Mbit/s each way at
// every host.
type Options struct {
	Latency       time.Duration // one way
	BitsPerSecond int           // up and down of each host
	Loss          float64       // share of packets that vanish
	Seed          uint64        // of the loss; goroutines stay free in their order, so runs are alike but not equal
}

// Net is a simulated network in a bubble of virtual time. Its hosts come from p2p.New and speak real QUIC over
// simulated packets, so everything above UDP is the product's own.
type Net struct {
	opts Options
	sim  *simnet.Simnet

	mu    sync.Mutex
	rand  *rand.Rand
	last  uint16 // host number last given out
	cut   map[[2]netip.Addr]bool
	off   map[netip.Addr]bool
	hosts map[market.NodeID]*simHost
}

type simHost struct {
	listen []string
	quic   *quicHook
	stop   func()
}

// World starts hosts: Loopback for real packets and time, Net for simulated ones.
type World interface {
	Start(t testing.TB, cfg p2p.Config) *p2p.Host
	// Prepare makes cfg one of this world, for a host that another serves. ended is called after that.
	Prepare(t testing.TB, cfg *p2p.Config) (ended func())
}

// Loopback is the World of Start.
type Loopback struct{}

// Start is the package's Start.
func (Loopback) Start(t testing.TB, cfg p2p.Config) *p2p.Host { return Start(t, cfg) }

// Prepare implements World.
func (Loopback) Prepare(_ testing.TB, cfg *p2p.Config) (ended func()) {
	if cfg.Network == "" {
		cfg.Network = Network
	}
	if cfg.Listen == nil {
		cfg.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	}
	return func() {}
}

// Run calls f in a bubble of virtual time with a network in it. What f starts must end with its t; time passes only
// while all wait.
func Run(t *testing.T, o Options, f func(t *testing.T, n *Net)) {
	t.Helper()
	if o.Latency == 0 {
		o.Latency = 50 * time.Millisecond
	}
	if o.BitsPerSecond == 0 {
		o.BitsPerSecond = 100_000_000
	}
	synctest.Test(t, func(t *testing.T) {
		n := &Net{
			opts: o, rand: rand.New(rand.NewPCG(o.Seed, 0)), cut: map[[2]netip.Addr]bool{}, off: map[netip.Addr]bool{},
			hosts: map[market.NodeID]*simHost{},
			// it logs packets to dead hosts
			sim: &simnet.Simnet{LatencyFunc: simnet.StaticLatency(o.Latency), Logger: slog.New(slog.DiscardHandler)},
		}
		n.sim.Start()
		t.Cleanup(n.sim.Close)
		f(t, n)
	})
}

// Start runs a host until the test ends or Kill, and returns it when it listens. Its address is public unless
// cfg.Listen names another one.
func (n *Net) Start(t testing.TB, cfg p2p.Config) *p2p.Host {
	t.Helper()
	if cfg.Listen == nil {
		cfg.Listen = []string{n.address()}
	}
	ended := n.Prepare(t, &cfg)
	h, err := p2p.New(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, func(ctx context.Context) error {
		defer ended()
		return h.Serve(ctx)
	})
	t.Cleanup(stop)
	ready(t, h)
	n.mu.Lock()
	n.hosts[h.ID()].stop = stop
	n.mu.Unlock()
	return h
}

// address is one that no host has.
func (n *Net) address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	return fmt.Sprintf("/ip4/1.0.%d.%d/udp/4801/quic-v1", n.last>>8, n.last&0xff)
}

// Prepare implements World. A host that is served again is at its last address, unless cfg.Listen names another one.
func (n *Net) Prepare(t testing.TB, cfg *p2p.Config) (ended func()) {
	id := NodeID(cfg.Key)
	n.mu.Lock()
	old := n.hosts[id]
	n.mu.Unlock()
	switch {
	case cfg.Listen == nil && old != nil:
		cfg.Listen = old.listen
	case cfg.Listen == nil:
		cfg.Listen = []string{n.address()}
	}
	if cfg.Network == "" {
		cfg.Network = Network
	}
	quic := &quicHook{n: n, sent: &counts{}}
	n.mu.Lock()
	n.hosts[id] = &simHost{cfg.Listen, quic, nil}
	n.mu.Unlock()
	// address discovery stalls a bubble
	cfg.Options = append(slices.Clone(cfg.Options), quic.option(), libp2p.DisableIdentifyAddressDiscovery())
	return func() { quic.close(t) }
}

// Kill takes hosts off the network without a goodbye and ends them.
func (n *Net) Kill(hosts ...*p2p.Host) {
	n.Off(hosts...)
	for _, h := range hosts {
		n.mu.Lock()
		stop := n.hosts[h.ID()].stop
		n.mu.Unlock()
		stop()
	}
}

// Off takes hosts off the network: nothing of theirs leaves, nothing arrives, nobody is told. Heal brings them back.
func (n *Net) Off(hosts ...*p2p.Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range hosts {
		n.off[n.ip(h)] = true
	}
}

// OneWay drops what from sends to to, and nothing of the other direction.
func (n *Net) OneWay(from, to *p2p.Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]netip.Addr{n.ip(from), n.ip(to)}] = true
}

// ip needs mu.
func (n *Net) ip(h *p2p.Host) netip.Addr { return n.hosts[h.ID()].quic.ip }

// Partition cuts all links between two groups.
func (n *Net) Partition(a, b []*p2p.Host) {
	for _, x := range a {
		for _, y := range b {
			n.OneWay(x, y)
			n.OneWay(y, x)
		}
	}
}

// Sent is what a host has sent so far: bytes of UDP and packets, those that were lost included.
func (n *Net) Sent(h *p2p.Host) (bytes, packets int) {
	n.mu.Lock()
	c := n.hosts[h.ID()].quic.sent
	n.mu.Unlock()
	return int(c.bytes.Load()), int(c.packets.Load())
}

// counts are of one host, over its restarts at one address.
type counts struct{ bytes, packets atomic.Int64 }

// Heal ends Off, OneWay and Partition.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	clear(n.off)
}

// drops reports whether a packet is lost.
func (n *Net) drops(from, to netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.off[from] || n.off[to] || n.cut[[2]netip.Addr{from, to}] || n.opts.Loss > 0 &&
		n.rand.Float64() < n.opts.Loss
}

func (n *Net) endpoint(addr *net.UDPAddr, sent *counts) net.PacketConn {
	link := simnet.LinkSettings{BitsPerSecond: n.opts.BitsPerSecond}
	n.mu.Lock() // simnet's list of endpoints has no lock
	defer n.mu.Unlock()
	return conn{n.sim.NewEndpoint(addr, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}), n, ip(addr), sent}
}

// conn is a host's socket, behind the Net's cuts and losses.
type conn struct {
	*simnet.SimConn
	n    *Net
	from netip.Addr
	sent *counts
}

// WriteTo sends a packet; a lost one counts as sent, as it does for UDP.
func (c conn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.sent.bytes.Add(int64(len(b)))
	c.sent.packets.Add(1)
	if u, ok := to.(*net.UDPAddr); ok && c.n.drops(c.from, ip(u)) {
		return len(b), nil
	}
	return c.SimConn.WriteTo(b, to)
}

// quicHook puts one host's QUIC on the Net.
type quicHook struct {
	n    *Net
	sent *counts

	cm *quicreuse.ConnManager // set before the host is ready, as ip is
	ip netip.Addr
}

func (q *quicHook) option() libp2p.Option {
	return libp2p.QUICReuse(keep(quicreuse.NewConnManager, q),
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return q, nil }),
		quicreuse.OverrideListenUDP(func(_ string, addr *net.UDPAddr) (net.PacketConn, error) {
			q.ip = ip(addr)
			return q.n.endpoint(addr, q.sent), nil
		}))
}

// PreferredSourceIPForDestination is the host's only address.
func (q *quicHook) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return q.ip.AsSlice(), nil
}

// close ends the manager, which libp2p leaves to whoever made it.
func (q *quicHook) close(t testing.TB) {
	if q.cm == nil {
		return
	}
	if err := q.cm.Close(); err != nil {
		t.Errorf("close simulated QUIC: %v", err)
	}
}

// keep wraps quicreuse's constructor so that the manager can be closed; the type parameters spare an import of quic-go
// for two key types.
func keep[A, B any](
	f func(A, B, ...quicreuse.Option) (*quicreuse.ConnManager, error), q *quicHook,
) func(A, B, ...quicreuse.Option) (*quicreuse.ConnManager, error) {
	return func(a A, b B, opts ...quicreuse.Option) (cm *quicreuse.ConnManager, err error) {
		cm, err = f(a, b, opts...)
		q.cm = cm
		return cm, err
	}
}

func ip(a *net.UDPAddr) netip.Addr { return a.AddrPort().Addr().Unmap() }
