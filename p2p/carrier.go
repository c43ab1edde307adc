package p2p

import (
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"
)

// carrierRange is what carriers number those with who stand behind their NAT (RFC 6598).
var carrierRange = netip.MustParsePrefix("100.64.0.0/10")

// mapPorts has libp2p ask the router for its ports and keeps what the router says.
func (h *Host) mapPorts() libp2p.Option {
	return libp2p.NATManager(func(n network.Network) basichost.NATManager {
		m := basichost.NewNATManager(n)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.router = m
		return m
	})
}

// BehindCarrier reports whether the router's own address outside, or this machine's, is one of a carrier's NAT: no port
// that the router forwards is reached from outside then. False as long as no router has answered.
func (h *Host) BehindCarrier() bool {
	lp := h.Libp2p()
	if lp == nil {
		return false
	}
	own := physicalPrefixes()
	return carried(lp.Network().ListenAddresses(), h.mapping, own)
}

// mapping is where the router forwards a port of an address from; nil: nowhere, as far as is known.
func (h *Host) mapping(a ma.Multiaddr) ma.Multiaddr {
	h.mu.Lock()
	r := h.router
	h.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.GetMapping(a)
}

func carried(listen []ma.Multiaddr, mapping func(ma.Multiaddr) ma.Multiaddr, own []netip.Prefix) bool {
	return slices.ContainsFunc(own, func(p netip.Prefix) bool { return carrierRange.Contains(p.Addr().Unmap()) }) ||
		slices.ContainsFunc(listen, func(a ma.Multiaddr) bool {
			m := mapping(a)
			if m == nil {
				return false
			}
			ip, ok := ipOf(m)
			return ok && carrierRange.Contains(ip.Unmap())
		})
}
