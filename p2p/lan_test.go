package p2p

import (
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

func TestLANFirst_TCPOfALANBeforeQUIC_ElsewhereAsEver(t *testing.T) {
	const circuit = "/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit"
	for _, c := range []struct {
		name string
		want map[string]time.Duration
	}{
		{"a LAN", map[string]time.Duration{"/ip4/192.168.1.7/tcp/4801": 0,
			"/ip4/192.168.1.7/udp/4801/quic-v1": lanLead}},
		{"one machine", map[string]time.Duration{"/ip4/127.0.0.1/tcp/4801": 0,
			"/ip4/127.0.0.1/udp/4801/quic-v1": lanLead}},
		{"a LAN without TCP", map[string]time.Duration{"/ip4/192.168.1.7/udp/4801/quic-v1": 0}},
		{"the internet", map[string]time.Duration{"/ip4/8.8.8.8/udp/4801/quic-v1": 0,
			"/ip4/8.8.8.8/tcp/4801": 250 * time.Millisecond}},
		{"both", map[string]time.Duration{"/ip4/192.168.1.7/tcp/4801": 0,
			"/ip4/192.168.1.7/udp/4801/quic-v1": lanLead, "/ip4/8.8.8.8/udp/4801/quic-v1": 0}},
		{"a relay of a LAN", map[string]time.Duration{"/ip4/192.168.1.9/udp/4801/quic-v1" + circuit: 0,
			"/ip4/192.168.1.9/tcp/4801" + circuit: 250 * time.Millisecond}},
	} {
		var in []ma.Multiaddr
		for a := range c.want {
			in = append(in, ma.StringCast(a))
		}
		got := lanFirst(in)
		if len(got) != len(c.want) {
			t.Errorf("%s: %d dials of %d addresses", c.name, len(got), len(c.want))
		}
		for _, d := range got {
			if want := c.want[d.Addr.String()]; d.Delay != want {
				t.Errorf("%s: %s waits %v, want %v", c.name, d.Addr, d.Delay, want)
			}
		}
	}
}
