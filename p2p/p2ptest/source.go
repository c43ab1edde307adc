package p2ptest

import (
	"net"
	"net/netip"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"

	"github.com/gpuai/gpuai/p2p"
)

// From has a host listen by QUIC at an address of loopback and dial from it, too: many hosts of one machine are of as
// many addresses for the limits of one.
func From(cfg *p2p.Config, addr netip.Addr) {
	cfg.Listen = []string{"/ip4/" + addr.String() + "/udp/0/quic-v1"}
	cfg.Options = append(cfg.Options, libp2p.QUICReuse(quicreuse.NewConnManager,
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return source(addr), nil })))
}

type source netip.Addr

// PreferredSourceIPForDestination implements quicreuse.SourceIPSelector.
func (s source) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return netip.Addr(s).AsSlice(), nil
}
