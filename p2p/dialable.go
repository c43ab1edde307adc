package p2p

import (
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/p2p/wire"
)

// DHTPrefix starts the protocol ids of a network's DHT.
func DHTPrefix(n Network) protocol.ID { return protocol.ID(n.Prefix()) }

// MeetingPoints are the nodes that this one starts with.
func (h *Host) MeetingPoints() []peer.AddrInfo { return slices.Clone(h.boot) }

// Infra reports whether the node is a meeting point for others.
func (h *Host) Infra() bool { return h.cfg.Infra }

// Quiet reports whether the node hears no gossip.
func (h *Host) Quiet() bool { return h.cfg.Quiet }

// Indexes reports whether the node is an indexer, which hears of all.
func (h *Host) Indexes() bool { return slices.Contains(h.cfg.Roles, "indexer") }

// Serves reports whether others look for this node: a rig, an indexer, a meeting point.
func (h *Host) Serves() bool {
	return h.cfg.Infra || slices.Contains(h.cfg.Roles, "provider") || h.Indexes()
}

// Dialable leaves of foreign addresses those that a node of this network may dial, at most 8.
func (h *Host) Dialable(in []ma.Multiaddr) (out []ma.Multiaddr) {
	for _, a := range in {
		if len(out) < maxPeerAddrs && dialable(a, h.net.Private) {
			out = append(out, a)
		}
	}
	return out
}

func dialable(a ma.Multiaddr, local bool) bool {
	ip, ok := ipOf(a)
	return ok && wire.Reachable(a) && (local || PublicIP(ip))
}

// MayReach reports whether all addresses of a reach may be dialled in this network: an Offer with one of a LAN aims
// others at it.
func (h *Host) MayReach(reach []string) bool {
	return len(h.Dialable(parseAddrs(reach, maxReach))) == len(reach)
}

// AddrTexts are addresses as text, at most 4, as an Offer's reach has them.
func AddrTexts(in []ma.Multiaddr) (out []string) {
	for _, a := range in[:min(len(in), maxReach)] {
		out = append(out, a.String())
	}
	return out
}

// GroupOf is the network of the first address, /16 of IPv4 and /32 of IPv6: whoever owns one address there may own
// many. Zero without an address.
func GroupOf(addrs []string) netip.Prefix {
	for _, a := range parseAddrs(addrs, 1) {
		if ip, ok := ipOf(a); ok {
			return groupOf(ip)
		}
	}
	return netip.Prefix{}
}

func groupOf(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		bits = 16
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // only of the zero address
	}
	return p
}
