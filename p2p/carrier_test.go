package p2p

import (
	"net/netip"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// router is one that forwards every port from one address, or says nothing.
type router string

func (r router) GetMapping(ma.Multiaddr) ma.Multiaddr {
	if r == "" {
		return nil
	}
	return ma.StringCast("/ip4/" + string(r) + "/udp/4801/quic-v1")
}
func (r router) HasDiscoveredNAT() bool { return r != "" }
func (router) Close() error             { return nil }

// TestBehindCarrier_WhatRouterSays: a node stands behind a carrier's NAT if its router's address outside, or an own
// one, is of the range for that; what is private or public is not.
func TestBehindCarrier_WhatRouterSays(t *testing.T) {
	t.Parallel()
	h := start(t, Config{Network: "localnet-carrier", Key: testKey(31)}, nil)
	for name, c := range map[string]struct {
		router router
		own    string
		want   bool
	}{
		"silent":              {"", "192.168.1.5/24", false},
		"public":              {"8.8.8.8", "192.168.1.5/24", false},
		"router behind one":   {"192.168.0.7", "192.168.1.5/24", false},
		"carrier":             {"100.64.7.2", "192.168.1.5/24", true},
		"carrier, last":       {"100.127.255.254", "10.0.0.5/8", true},
		"beside the range":    {"100.128.0.1", "192.168.1.5/24", false},
		"without a router":    {"", "100.72.3.4/10", true},
		"IPv6 of the machine": {"", "2001:db8::5/64", false},
	} {
		h.mu.Lock()
		h.router = c.router
		h.mu.Unlock()
		listen := h.Libp2p().Network().ListenAddresses()
		if got := carried(listen, h.mapping, []netip.Prefix{netip.MustParsePrefix(c.own)}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
