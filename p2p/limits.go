package p2p

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// profile is what a node of some role needs of the network.
type profile struct {
	wanted, low, high int   // direct peers; connections
	inbound           int   // connections that others may open, each within memory
	memory            int64 // bytes
	fds, perIP        int
	perSec            float64
	burst             int
}

var (
	profileLight = profile{wanted: 12, low: 24, high: 48, inbound: 96, memory: 256 << 20, fds: 512, perIP: 32,
		perSec: 2, burst: 64}
	profileRig = profile{wanted: 24, low: 48, high: 96, inbound: 192, memory: 512 << 20, fds: 1024, perIP: 32,
		perSec: 2, burst: 64}
	// Above high the connection manager makes room for newcomers, long before the hard limit.
	profileInfra = profile{wanted: 64, low: 1200, high: 1600, inbound: 2048, memory: 2 << 30, fds: 8192, perIP: 256,
		perSec: 5, burst: 512}
)

// streamLimit bounds one protocol: inbound streams and memory in KiB, in all and per peer.
type streamLimit struct {
	name                  string
	all, peer             int
	memAllKiB, memPeerKiB int64
}

var streamLimits = []streamLimit{
	{"quote", 256, 8, 8 << 10, 1 << 10}, {"lease", 128, 8, 16 << 10, 2 << 10}, {"voucher", 512, 2, 8 << 10, 100},
	{"sync", 32, 2, 16 << 10, 2 << 10}, {"want", 64, 2, 1 << 10, 64}, {"tunnel", 1024, 128, 64 << 10, 16 << 10},
}

// resourceManager builds the finite limits of a profile. Connections of a whole farm behind one address must fit: the
// defaults do not.
func resourceManager(n Network, p profile) (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	for _, l := range streamLimits {
		id := n.Protocol(l.name, 1)
		scaling.AddProtocolLimit(id, rcmgr.BaseLimit{
			Streams: 2 * l.all, StreamsInbound: l.all, StreamsOutbound: l.all, Memory: l.memAllKiB << 10,
		}, rcmgr.BaseLimitIncrease{})
		scaling.AddProtocolPeerLimit(id, rcmgr.BaseLimit{
			Streams: 2 * l.peer, StreamsInbound: l.peer, StreamsOutbound: l.peer, Memory: l.memPeerKiB << 10,
		}, rcmgr.BaseLimitIncrease{})
	}
	kad := DHTPrefix(n) + "/kad/1.0.0"
	scaling.AddProtocolLimit(kad, rcmgr.BaseLimit{Streams: 4 * p.inbound, StreamsInbound: 2 * p.inbound,
		StreamsOutbound: 2 * p.inbound, Memory: 32 << 20}, rcmgr.BaseLimitIncrease{})
	scaling.AddProtocolPeerLimit(kad, rcmgr.BaseLimit{Streams: 32, StreamsInbound: 16, StreamsOutbound: 16,
		Memory: 2 << 20}, rcmgr.BaseLimitIncrease{})
	limiter := rcmgr.NewFixedLimiter(rcmgr.PartialLimitConfig{System: p.system()}.Build(scaling.Scale(p.memory, p.fds)))
	limit := rate.Limit{RPS: p.perSec, Burst: p.burst}
	m, err := rcmgr.NewResourceManager(limiter,
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: p.perIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: p.perIP}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: rcmgrLoopback,
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: limit}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: limit}},
				GracePeriod:      time.Minute,
			},
		}))
	if err != nil {
		return nil, fmt.Errorf("build resource limits: %w", err)
	}
	return m, nil
}

// streamsPerConn is how many streams a connection has as a rule, at most: gossip both ways, identify, a request.
const streamsPerConn = 8

// system are the bounds of the whole node by number: those that libp2p derives from the memory give an infra node 128
// inbound connections, so that a network stops growing at about as many.
func (p profile) system() rcmgr.ResourceLimits {
	n := p.inbound
	return rcmgr.ResourceLimits{
		Conns: rcmgr.LimitVal(2 * n), ConnsInbound: rcmgr.LimitVal(n), ConnsOutbound: rcmgr.LimitVal(n),
		Streams: rcmgr.LimitVal(2 * n * streamsPerConn), StreamsInbound: rcmgr.LimitVal(n * streamsPerConn),
		StreamsOutbound: rcmgr.LimitVal(n * streamsPerConn), FD: rcmgr.LimitVal(p.fds),
	}
}

// rcmgrLoopback exempts this machine from the rate of new connections: demo networks run on it.
var rcmgrLoopback = []rate.PrefixLimit{{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
	{Prefix: netip.MustParsePrefix("::1/128")}}
