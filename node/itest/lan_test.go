//go:build integration

package itest

import (
	"testing"
	"time"
)

// TestLAN_MDNS_FindsOwnNetworkOnly: nodes on one LAN that know of nobody find each other, if both look; a node of a
// network with another name on the same LAN, and one that does not look, meet nobody.
func TestLAN_MDNS_FindsOwnNetworkOnly(t *testing.T) {
	lan := newBridge(t)
	at := func(address, network string, look bool) *proc {
		in := newSpace(t)
		in.join(t, lan, "eth", address)
		in.ip(t, "route add default dev eth") // multicast leaves by it
		p := makeProc(t, &rig{}, "[]")
		p.in = in
		p.set("node.network="+network, "node.data_dir="+p.dir(), "solana.rpc=http://127.0.0.1:1")
		if network == "localnet-lan" { // as on a public network, where a LAN's addresses are told to nobody
			p.set("p2p.public_rules=true")
		}
		if look {
			p.set("p2p.mdns=true")
		}
		p.start(t)
		return p
	}
	a, b := at("192.168.7.1/24", "localnet-lan", true), at("192.168.7.2/24", "localnet-lan", true)
	other, blind := at("192.168.7.3/24", "localnet-lan2", true), at("192.168.7.4/24", "localnet-lan", false)
	ids := map[*proc]string{a: b.id(t), b: a.id(t)}
	for p, want := range ids {
		wait(t, "two nodes on a LAN do not find each other", 60*time.Second, func() bool {
			list, err := p.api.Peers(t.Context())
			return err == nil && len(list) == 1 && list[0].ID == want
		})
	}
	for name, p := range map[string]*proc{"of another network": other, "that does not look": blind} {
		if list, err := p.api.Peers(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("a node %s has met %+v, %v", name, list, err)
		}
	}
}
