package p2p

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// maxBans bounds the ban table; the soonest to expire makes room.
const maxBans = 4096

// gater decides which connections may exist. It refuses private dials off localnet, because a hostile Offer would
// otherwise make us scan a LAN or reach our own containers.
type gater struct {
	local bool
	now   func() time.Time
	admit func(p peer.ID, now time.Time) bool // of an inbound connection

	mu       sync.Mutex
	bans     map[peer.ID]time.Time
	lan      map[peer.ID]bool // from config or mDNS: may be dialled inside our own physical networks
	prefixes []netip.Prefix
}

func newGater(local bool, now func() time.Time) *gater {
	return &gater{local: local, now: now, bans: map[peer.ID]time.Time{}, lan: map[peer.ID]bool{}}
}

func (g *gater) ban(p peer.ID, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.bans) >= maxBans {
		var first peer.ID
		for id, t := range g.bans {
			if first == "" || t.Before(g.bans[first]) {
				first = id
			}
		}
		delete(g.bans, first)
	}
	g.bans[p] = until
}

func (g *gater) banned(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.bans[p]
	if ok && !g.now().Before(until) {
		delete(g.bans, p)
		ok = false
	}
	return ok
}

func (g *gater) allowLAN(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lan) < maxBans {
		g.lan[p] = true
	}
}

func (g *gater) setPrefixes(p []netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.prefixes = p
}

// InterceptPeerDial refuses banned peers and those without an Ed25519 key.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return ed25519Peer(p) && !g.banned(p) }

// InterceptAddrDial refuses private addresses off localnet.
func (g *gater) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	ip, ok := ipOf(a)
	if !ok {
		return true // a name: dialled only after it is resolved and asked for again
	}
	if g.local {
		return !ip.IsMulticast() && !ip.IsUnspecified()
	}
	if PublicIP(ip) {
		return true
	}
	if ip.IsLoopback() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lan[p] && slices.ContainsFunc(g.prefixes, func(n netip.Prefix) bool {
		return n.Contains(ip.Unmap()) &&
			n.Addr().Unmap() != ip.Unmap()
	})
}

// InterceptAccept lets everybody knock; the resource manager limits addresses.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured refuses banned peers, strangers without a slot, and other kinds of keys: verifying huge RSA keys is
// a denial of service.
func (g *gater) InterceptSecured(d network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return ed25519Peer(p) && !g.banned(p) && (d != network.DirInbound || g.admit == nil || g.admit(p, g.now()))
}

// InterceptUpgraded has nothing to add.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

func ed25519Peer(p peer.ID) bool {
	key, err := p.ExtractPublicKey()
	return err == nil && key.Type() == crypto.Ed25519
}
