package docker

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// rigPrefixes are the IPv4 addresses of the rig and every route but the default one.
func rigPrefixes() (out []netip.Prefix) {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().Is4() {
					out = append(out, netip.PrefixFrom(ip.Unmap(), 32))
				}
			}
		}
	}
	raw, _ := os.ReadFile("/proc/net/route") // linux only; elsewhere there are no guards
	for line := range strings.Lines(string(raw)) {
		if p, ok := parseRoute(line); ok {
			out = append(out, p)
		}
	}
	return out
}

// parseRoute reads a line of /proc/net/route: addresses are little-endian hex.
func parseRoute(line string) (netip.Prefix, bool) {
	f := strings.Fields(line)
	if len(f) < 8 {
		return netip.Prefix{}, false
	}
	dst, err1 := strconv.ParseUint(f[1], 16, 32)
	mask, err2 := strconv.ParseUint(f[7], 16, 32)
	if err1 != nil || err2 != nil || mask == 0 {
		return netip.Prefix{}, false
	}
	bits := 0
	for m := mask; m != 0; m &= m - 1 {
		bits++
	}
	a := netip.AddrFrom4([4]byte{byte(dst), byte(dst >> 8), byte(dst >> 16), byte(dst >> 24)})
	return netip.PrefixFrom(a, bits), true
}
