package p2p

import (
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// startMDNS looks for nodes of this network on the LAN. The service has our own name, else every libp2p program around
// is dialled.
func (h *Host) startMDNS(lp host.Host) (io.Closer, error) {
	s := mdns.NewMdnsService(lp, "_gpuai-"+h.net.Name+"._udp", lanNotifee{h})
	if err := s.Start(); err != nil {
		return nil, fmt.Errorf("start mDNS: %w", err)
	}
	return s, nil
}

type lanNotifee struct{ h *Host }

// HandlePeerFound makes a peer on the LAN a candidate for a connection; it may be dialled inside our own physical
// networks.
func (n lanNotifee) HandlePeerFound(info peer.AddrInfo) {
	if info.ID == n.h.self || !ed25519Peer(info.ID) || len(info.Addrs) == 0 {
		return
	}
	n.h.gate.allowLAN(info.ID)
	n.h.keep.found(info)
}
