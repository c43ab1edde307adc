package p2p

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/gpuai/gpuai/p2p/wire"
)

// Limits of announced addresses.
const (
	maxAnnounced = 4
	maxRelays    = 2
)

// hidden are ranges that no peer elsewhere can reach, or that would aim it at somebody's LAN.
var hidden = func() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24",
		"192.168.0.0/16", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
		// ::a.b.c.d, NAT64, 6to4 and Teredo hold an IPv4 address that the prefix hides
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "100::/64", "2001:db8::/32", "3fff::/20",
		"5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// virtualPrefixes name bridges, tunnels and container networks: their addresses mean something else on every machine.
var virtualPrefixes = []string{
	"docker", "br-", "veth", "gpuai", "virbr", "lxc", "lxd", "cni", "flannel", "cali", "tailscale", "wg", "zt", "tun",
	"utun", "tap", "podman",
}

func virtualInterface(name string) bool {
	return slices.ContainsFunc(virtualPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// PublicIP reports whether an address may be announced and dialled off localnet. IPv4 inside IPv6 is judged as IPv4.
func PublicIP(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return ip.IsValid() && !slices.ContainsFunc(hidden, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// ipOf returns the first IP of an address, which for a relayed one is the relay's; false without an IP (DNS names).
func ipOf(a ma.Multiaddr) (netip.Addr, bool) {
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(ip)
}

func relayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// announce chooses what the world is told: ≤ 4 addresses, of these ≤ 2 relayed; off localnet only public ones.
// relayOnly hides direct ones, virtual are told last.
func announce(in []ma.Multiaddr, local, relayOnly bool, virtual []netip.Addr) []ma.Multiaddr {
	var direct, relays []ma.Multiaddr
	for _, a := range in {
		ip, ok := ipOf(a)
		switch {
		case ok && ip.IsUnspecified(), ok && !local && !PublicIP(ip), !wire.Reachable(a):
		case relayed(a):
			relays = append(relays, a)
		case !relayOnly:
			direct = append(direct, a)
		}
	}
	if local { // a real address of the LAN says more than loopback, and a bridge's may be gone with its containers
		slices.SortStableFunc(direct, func(a, b ma.Multiaddr) int { return rank(a, virtual) - rank(b, virtual) })
	}
	relays = relays[:min(len(relays), maxRelays)]
	direct = direct[:min(len(direct), maxAnnounced-len(relays))]
	return append(direct, relays...)
}

func rank(a ma.Multiaddr, virtual []netip.Addr) int {
	ip, ok := ipOf(a)
	switch {
	case ok && slices.Contains(virtual, ip.Unmap()):
		return 3
	case ok && ip.Unmap().Is4() && !ip.IsLoopback():
		return 0
	case ok && ip.IsLoopback() && ip.Unmap().Is4():
		return 1
	}
	return 2
}

// virtualIPs are the addresses of this machine's bridges, tunnels and container networks.
func virtualIPs() (out []netip.Addr) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil // they are announced then, after the others of their kind
	}
	for _, i := range ifaces {
		if !virtualInterface(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, p.Addr().Unmap())
			}
		}
	}
	return out
}

// physicalPrefixes are the networks this machine is directly in, without virtual interfaces and loopback.
func physicalPrefixes() []netip.Prefix {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil // without them the gater refuses all private dials, the safe side
	}
	var out []netip.Prefix
	for _, i := range ifaces {
		if virtualInterface(i.Name) || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}

// parseAddrs reads untrusted address texts; bad ones are dropped, at most limit are returned.
func parseAddrs(in []string, limit int) []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, s := range in {
		if len(s) > maxAddrBytes || len(out) == limit {
			continue
		}
		if a, err := ma.NewMultiaddr(s); err == nil {
			out = append(out, a)
		}
	}
	return out
}
