package p2p

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// lanLead is how long a dial over a LAN's TCP is alone, before QUIC to the same peer begins.
const lanLead = 30 * time.Millisecond

// lanFirst is libp2p's order of dials, but that TCP with TLS comes before QUIC within a LAN and a machine: there no NAT
// needs QUIC, and TCP costs a third of the processor for the same bytes. All other addresses wait as long as ever.
func lanFirst(addrs []ma.Multiaddr) (out []network.AddrDelay) {
	var tcp, other []ma.Multiaddr
	for _, a := range addrs {
		if lanTCP(a) {
			tcp = append(tcp, a)
		} else {
			other = append(other, a)
		}
	}
	out = swarm.DefaultDialRanker(tcp)
	for _, d := range swarm.DefaultDialRanker(other) {
		if len(tcp) > 0 && manet.IsPrivateAddr(d.Addr) && !relayed(d.Addr) {
			d.Delay += lanLead
		}
		out = append(out, d)
	}
	return out
}

func lanTCP(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_TCP)
	return err == nil && manet.IsPrivateAddr(a) && !relayed(a)
}
