package p2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Config is what a node says about its network. The zero value of an optional field is its default.
type Config struct {
	Network   string             // name, see NetworkByName
	Key       ed25519.PrivateKey // the node's identity
	Listen    []string           // multiaddresses; none: QUIC and TCP, v4 and v6, on the network's port, buyers on any
	Port      int                // wish where any port will do; 0 = none
	Bootstrap []string           // multiaddresses ending in /p2p/<id>, beside the built-in ones
	Roles     []string           // "provider", "customer", "indexer": choose limits
	Infra     bool               // bootstrap and relay for others
	MDNS      bool               // find nodes on the LAN
	Quiet     bool               // hear no gossip
	Announce  string             // "" or "relay": announce relay addresses only
	// PublicRules has a local network judge addresses as public ones do; elsewhere it changes nothing
	PublicRules bool
	RelayTime   time.Duration   // of an infra node: how long a circuit lasts; 0: 30 min
	RelayData   int64           // and how many bytes it carries each way; 0: 4 MiB
	Options     []libp2p.Option // appended last; for simulated networks in tests
	Epochs      []wire.Epoch    // instead of the network's own; for the same
}

// Host is the node's presence in one network.
type Host struct {
	cfg      Config
	net      Network
	id       market.NodeID
	self     peer.ID
	boot     []peer.AddrInfo
	profile  profile
	store    PeerStore
	log      *slog.Logger
	gate     *gater
	keep     *upkeep
	circuits *circuits
	blame    blame
	favours  favours
	rtts     rtts
	tally    tally
	ready    chan struct{}
	moved    chan struct{} // see Moved

	mu       sync.Mutex
	host     host.Host                        // nil until Ready
	handlers map[string]network.StreamHandler // by name, see Handle
	router   basichost.NATManager             // nil: none is asked for ports
}

var errNotUp = errors.New("network is not up yet")

// New checks the configuration and does no I/O. store may be nil: then no peer is remembered. Errors: *market.Error.
func New(cfg Config, store PeerStore, log *slog.Logger) (*Host, error) {
	n, err := NetworkByName(cfg.Network)
	if err != nil {
		return nil, err
	}
	n.Private = n.Private && !cfg.PublicRules
	if len(cfg.Key) != ed25519.PrivateKeySize {
		return nil, &market.Error{Code: market.CodeBadConfig, Op: "create host",
			Detail: "the node key is no Ed25519 key",
			Kind:   market.KindInvalid}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Epochs != nil {
		n.Epochs = cfg.Epochs
	}
	h := &Host{cfg: cfg, net: n, store: store, log: log, profile: profileOf(cfg), ready: make(chan struct{}),
		moved: make(chan struct{}, 1), handlers: map[string]network.StreamHandler{},
		blame: blame{peers: map[peer.ID]*blamed{}}, favours: favours{m: map[peer.ID]favour{}},
		rtts: rtts{due: make(chan peer.ID, maxUnmeasured)}}
	copy(h.id[:], cfg.Key[ed25519.SeedSize:])
	if h.self, err = PeerOf(h.id); err != nil {
		return nil, fmt.Errorf("create host: %w", err)
	}
	for _, s := range slices.Concat(n.Bootstrap, cfg.Bootstrap) {
		info, err := peer.AddrInfoFromString(s)
		if err != nil {
			return nil, &market.Error{
				Code: market.CodeBadConfig, Op: "create host", Detail: fmt.Sprintf("bootstrap %q", s),
				Kind: market.KindInvalid,
				Err:  err,
				Hint: "write a multiaddress that ends in /p2p/<node id>",
			}
		}
		h.boot = append(h.boot, *info)
	}
	h.gate = newGater(n.Private, time.Now)
	for _, b := range h.boot {
		h.gate.allowLAN(b.ID)
	}
	h.keep, h.circuits = newUpkeep(h), newCircuits(h)
	h.gate.admit = h.admit
	return h, nil
}

func profileOf(cfg Config) profile {
	switch {
	case cfg.Infra || slices.Contains(cfg.Roles, "indexer"):
		return profileInfra
	case slices.Contains(cfg.Roles, "provider"):
		return profileRig
	}
	return profileLight
}

// Serve runs the host until ctx ends. Call it once. Errors: libp2p could not start, such as a port in use.
func (h *Host) Serve(ctx context.Context) error {
	h.gate.setPrefixes(physicalPrefixes())
	opts, err := h.options()
	if err != nil {
		return err
	}
	lp, err := libp2p.New(opts...)
	if err != nil {
		return &market.Error{
			Code: market.CodeP2PStart, Op: "start libp2p host", Kind: market.KindUnavailable, Err: err,
			Hint: "another node may use the port: see p2p.listen",
		}
	}
	defer func() {
		if err := lp.Close(); err != nil {
			h.log.Warn("close libp2p host", "err", err)
		}
	}()
	if err := h.circuits.attach(lp); err != nil {
		return err
	}
	sub, err := lp.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged),
		new(event.EvtLocalAddressesUpdated),
	})
	if err != nil {
		return fmt.Errorf("start libp2p host: subscribe: %w", err)
	}
	defer func() { _ = sub.Close() }() // only closes a channel that nobody reads any more
	h.mu.Lock()
	h.host = lp
	for name, f := range h.handlers {
		lp.SetStreamHandler(h.net.Protocol(name, streamMajor), f)
	}
	h.mu.Unlock()
	lp.Network().Notify(&network.NotifyBundle{DisconnectedF: func(n network.Network, c network.Conn) {
		if n.Connectedness(c.RemotePeer()) == network.NotConnected && madeRoom(ctx, c) {
			h.keep.madeRoom(c.RemotePeer())
		}
	}})
	h.keep.load(ctx)
	if h.cfg.MDNS {
		lan, err := h.startMDNS(lp)
		if err != nil {
			h.log.Warn("look for nodes on the LAN", "err", err) // bootstrap and peer book still work
		} else {
			defer func() { _ = lan.Close() }() // it always returns nil
		}
	}
	close(h.ready)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.watch(ctx, lp, sub.Out()) })
	g.Go(func() error { return h.keep.serve(ctx) })
	g.Go(func() error { return h.measure(ctx) })
	g.Go(func() error { return h.circuits.serve(ctx) })
	g.Go(func() error { return h.circuits.tellAll(ctx) })
	err = g.Wait()
	h.keep.save(context.WithoutCancel(ctx))
	return err
}

// watch bans peers of other networks and tells the upkeep about connections. Whoever names no network of ours, such as
// another libp2p program, may stay and ask; it is no peer to keep.
func (h *Host) watch(ctx context.Context, lp host.Host, events <-chan any) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			if !ok {
				return nil
			}
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				switch kin := h.net.kinship(e.ProtocolVersion); kin {
				case foreign:
					h.log.Info("peer of another network", "peer", e.Peer, "version", clip(e.ProtocolVersion, 64))
					h.gate.ban(e.Peer, time.Now().Add(10*time.Minute))
					_ = lp.Network().ClosePeer(e.Peer) // the ban holds whether or not the close was clean
				case own:
					h.keep.identified(e.Peer, signedAddrs(lp, e.Peer))
					h.measureSoon(e.Peer)
				}
			case event.EvtPeerConnectednessChanged:
				switch e.Connectedness {
				case network.NotConnected:
					h.keep.disconnected(e.Peer)
				case network.Limited:
					h.keep.stir() // a direct connection may be wanted
				}
			case event.EvtLocalAddressesUpdated:
				h.keep.ownAddressChanged(slices.ContainsFunc(e.Removed, func(a event.UpdatedAddress) bool {
					return !relayed(a.Address)
				}))
				select {
				case h.moved <- struct{}{}:
				default:
				}
			}
		}
	}
}

func clip(s string, n int) string { return s[:min(len(s), n)] }

// signedAddrs are what identify has certified for the peer.
func signedAddrs(lp host.Host, p peer.ID) []ma.Multiaddr {
	a := slices.DeleteFunc(lp.Peerstore().Addrs(p), func(a ma.Multiaddr) bool { return !wire.Reachable(a) })
	return a[:min(len(a), maxPeerAddrs)]
}

// options are libp2p's; an own Transport turns all default ones off, browser transports with them.
func (h *Host) options() ([]libp2p.Option, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(h.cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("start libp2p host: %w", err)
	}
	limits, err := resourceManager(h.net, h.profile)
	if err != nil {
		return nil, err
	}
	return h.assemble(key, limits)
}

// Ready is closed when the host listens.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// ID is the node's id.
func (h *Host) ID() market.NodeID { return h.id }

// Network is the network the host belongs to.
func (h *Host) Network() Network { return h.net }

// Libp2p is for packages below p2p only: others use Handle and Open. It is nil before Ready.
func (h *Host) Libp2p() host.Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.host
}

// Addrs are the announced addresses, ≤ 4, without /p2p/<id>; the reach of an Offer. Empty before Ready.
func (h *Host) Addrs() []string {
	lp := h.Libp2p()
	if lp == nil {
		return nil
	}
	var out []string
	for _, a := range h.announced(lp.Addrs()) {
		out = append(out, a.String())
	}
	return out
}

func (h *Host) announced(in []ma.Multiaddr) []ma.Multiaddr {
	var virtual []netip.Addr
	if h.net.Private {
		virtual = virtualIPs()
	}
	return announce(in, h.net.Private, h.cfg.Announce == "relay", virtual)
}

// Moved receives when Addrs may have changed: own interfaces, a mapped port, a relay that took or dropped a
// reservation. One reader; many changes coalesce.
func (h *Host) Moved() <-chan struct{} { return h.moved }

// FullAddrs are Addrs with /p2p/<id>: what another node puts into its bootstrap list.
func (h *Host) FullAddrs() []string {
	out := h.Addrs()
	for i := range out {
		out[i] += "/p2p/" + h.id.String()
	}
	return out
}

// UDPPort is where the host listens for QUIC, 0 before it does.
func (h *Host) UDPPort() int {
	lp := h.Libp2p()
	if lp == nil {
		return 0
	}
	for _, a := range lp.Network().ListenAddresses() {
		if text, err := a.ValueForProtocol(ma.P_UDP); err == nil {
			if port, err := strconv.Atoi(text); err == nil {
				return port
			}
		}
	}
	return 0
}

// Peers is the number of connected peers.
func (h *Host) Peers() int {
	lp := h.Libp2p()
	if lp == nil {
		return 0
	}
	return len(lp.Network().Peers())
}

// Ban disconnects a peer and keeps it away until then; reason is logged, never sent.
func (h *Host) Ban(id market.NodeID, until time.Time, reason string) {
	p, err := PeerOf(id)
	if err != nil {
		return // no such peer can exist, so it is kept away already
	}
	h.log.Warn("peer banned", "peer", id, "until", until, "reason", reason)
	h.gate.ban(p, until)
	h.keep.banned(p, until, reason)
	if lp := h.Libp2p(); lp != nil {
		_ = lp.Network().ClosePeer(p) // the ban holds whether or not the close was clean
	}
}

// Connect dials a peer unless it is connected; addrs may be empty for a known one. Private addresses are refused off
// localnet.
// Errors: *market.Error with code "peer-unreachable".
func (h *Host) Connect(ctx context.Context, id market.NodeID, addrs []string) error {
	lp := h.Libp2p()
	p, err := PeerOf(id)
	if err == nil && lp == nil {
		err = errNotUp
	}
	if err == nil {
		ctx = network.WithAllowLimitedConn(ctx, "lease")
		err = lp.Connect(ctx, peer.AddrInfo{ID: p, Addrs: parseAddrs(addrs, maxPeerAddrs)})
	}
	if err != nil {
		return &market.Error{Code: market.CodePeerUnreachable, Op: "connect to " + id.String(),
			Kind: market.KindUnavailable,
			Err:  err}
	}
	return nil
}

// Connected reports whether there is a connection to a peer, a relayed one included.
func (h *Host) Connected(p peer.ID) bool {
	lp := h.Libp2p()
	return lp != nil && len(lp.Network().ConnsToPeer(p)) > 0
}

// HangUp closes the connections to a peer, so that the next request dials it anew: a connection whose path is gone is
// noticed only after its idle time.
func (h *Host) HangUp(id market.NodeID) {
	lp := h.Libp2p()
	if p, err := PeerOf(id); err == nil && lp != nil {
		_ = lp.Network().ClosePeer(p) // it may be closed already
	}
}

// KeepConnected holds the connection to the peer of a live lease and redials it for as long as it takes. Idempotent;
// Forget ends it.
func (h *Host) KeepConnected(id market.NodeID, addrs []string) {
	h.keep.keepConnected(id, addrs)
	poke(h.circuits.wake)
}

// Forget ends KeepConnected.
func (h *Host) Forget(id market.NodeID) { h.keep.forget(id) }

// Leased reports whether a live lease keeps the connection to a peer.
func (h *Host) Leased(id market.NodeID) bool {
	p, err := PeerOf(id)
	return err == nil && h.keep.leased(p)
}

// Learn takes the reach of a valid Offer, signed by the peer itself, as a candidate for a connection.
func (h *Host) Learn(id market.NodeID, addrs []string) { h.keep.learn(id, addrs) }
