package p2p

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
)

func testKey(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

func start(t *testing.T, cfg Config, store PeerStore) *Host {
	t.Helper()
	if cfg.Listen == nil {
		cfg.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"}
	}
	h, err := New(cfg, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	select {
	case <-h.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("host is not ready")
	}
	return h
}

// eventually waits for another goroutine's work; it fails after 10 s.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(what)
		}
	}
}

func TestHost_Bootstrap_ConnectsAndNamesItself(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-a", Key: testKey(1), Infra: true}, nil)
	b := start(t, Config{Network: "localnet-a", Key: testKey(2), Bootstrap: a.FullAddrs()}, nil)
	eventually(t, "not connected", func() bool { return a.Peers() == 1 && b.Peers() == 1 })
	if len(a.Addrs()) == 0 || a.ID() != market.NodeID(testKey(1).Public().(ed25519.PublicKey)) {
		t.Errorf("addrs %v, id %s", a.Addrs(), a.ID())
	}
	if p := a.Libp2p().ID().String(); p != a.ID().String() {
		t.Errorf("libp2p says %s, market %s", p, a.ID())
	}
	if id, ok := NodeOf(b.Libp2p().ID()); !ok || id != b.ID() {
		t.Errorf("node of peer: %s, %v", id, ok)
	}
}

func TestHost_TwoNetworks_NeverMix(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-a", Key: testKey(3)}, nil)
	b := start(t, Config{Network: "localnet-b", Key: testKey(4)}, nil)
	_ = b.Connect(t.Context(), a.ID(), a.Addrs()) // may succeed for the moment until identify has run
	pa, pb := a.Libp2p().ID(), b.Libp2p().ID()
	eventually(t, "nobody was banned", func() bool { return a.gate.banned(pb) || b.gate.banned(pa) })
	eventually(t, "still connected", func() bool { return a.Peers() == 0 && b.Peers() == 0 })
}

func TestHost_RSAPeer_Refused(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-a", Key: testKey(5)}, nil)
	key, _, err := crypto.GenerateRSAKeyPair(2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	info, err := peer.AddrInfoFromString(a.FullAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	_ = other.Connect(t.Context(), *info) // on QUIC the dialler learns of the refusal only afterwards
	eventually(t, "RSA peer stays connected",
		func() bool { return a.Peers() == 0 && len(other.Network().Peers()) == 0 })
	if a.gate.InterceptSecured(0, other.ID(), nil) || a.gate.InterceptPeerDial(other.ID()) {
		t.Error("gater accepts an RSA key")
	}
}

func TestUpkeep_LeasePeerRestarts_IsRedialled(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-a", Key: testKey(6)}, nil)
	b := start(t, Config{Network: "localnet-a", Key: testKey(7)}, nil)
	a.KeepConnected(b.ID(), b.Addrs())
	eventually(t, "not connected", func() bool { return a.Peers() == 1 })
	if err := b.Libp2p().Network().ClosePeer(a.Libp2p().ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connection of a live lease is not back", func() bool { return a.Peers() == 1 && b.Peers() == 1 })
	if !a.Libp2p().ConnManager().IsProtected(b.Libp2p().ID(), leaseTag) {
		t.Error("peer of a live lease may be trimmed")
	}
	a.Forget(b.ID())
	if a.Libp2p().ConnManager().IsProtected(b.Libp2p().ID(), leaseTag) {
		t.Error("still protected after Forget")
	}
}

func TestHost_BannedPeer_CannotReturn(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-a", Key: testKey(8)}, nil)
	b := start(t, Config{Network: "localnet-a", Key: testKey(9)}, nil)
	a.Ban(b.ID(), time.Now().Add(time.Hour), "test")
	if err := a.Connect(t.Context(), b.ID(), b.Addrs()); market.CodeOf(err) != market.CodePeerUnreachable {
		t.Error(err)
	}
	_ = b.Connect(t.Context(), a.ID(), a.Addrs()) // the refusal may show only afterwards
	eventually(t, "banned peer is connected", func() bool { return a.Peers() == 0 })
}

func TestMDNS_PeerOnTheLAN_IsDialled(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-a", Key: testKey(12)}, nil)
	b := start(t, Config{Network: "localnet-a", Key: testKey(13)}, nil)
	lanNotifee{a}.HandlePeerFound(peer.AddrInfo{ID: b.self, Addrs: b.Libp2p().Addrs()})
	eventually(t, "not connected", func() bool { return a.Peers() == 1 && b.Peers() == 1 })
}

type memStore struct {
	mu   sync.Mutex
	recs map[market.NodeID]PeerRecord
}

func (m *memStore) Peers(context.Context) ([]PeerRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []PeerRecord
	for _, r := range m.recs {
		out = append(out, r)
	}
	return out, nil
}

func (m *memStore) SavePeers(_ context.Context, put []PeerRecord, drop []market.NodeID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range put {
		m.recs[r.ID] = r
	}
	for _, id := range drop {
		delete(m.recs, id)
	}
	return nil
}

func TestUpkeep_Restart_FindsPeersInTheBook(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Network: "localnet-a", Key: testKey(10)}, nil)
	store := &memStore{recs: map[market.NodeID]PeerRecord{}}
	first, err := New(Config{Network: "localnet-a", Key: testKey(11), Listen: []string{"/ip4/127.0.0.1/tcp/0"},
		Bootstrap: a.FullAddrs()}, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := first.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	known := func() bool {
		first.keep.mu.Lock()
		defer first.keep.mu.Unlock()
		e := first.keep.peers[a.self]
		return e != nil && !e.rec.LastOK.IsZero()
	}
	eventually(t, "not identified", known)
	cancel()
	wg.Wait()
	if len(store.recs[a.ID()].Addrs) == 0 {
		t.Fatalf("book holds %+v", store.recs)
	}
	again := start(t, Config{Network: "localnet-a", Key: testKey(11)}, store)
	eventually(t, "the book was not used", func() bool { return again.Peers() == 1 })
}

func TestNew_BadConfig_SaysWhat(t *testing.T) {
	t.Parallel()
	for code, cfg := range map[market.Code]Config{
		market.CodeUnknownNetwork: {Network: "localnet-", Key: testKey(1)},
		market.CodeNetworkOff:     {Network: "mainnet", Key: testKey(1)},
		market.CodeBadConfig:      {Network: "devnet", Key: testKey(1), Bootstrap: []string{"/ip4/1.2.3.4/tcp/1"}},
	} {
		if _, err := New(cfg, nil, nil); market.CodeOf(err) != code {
			t.Errorf("%+v: %v, want %s", cfg, err, code)
		}
	}
}

func TestNetworks_Localnet_MeetsAtItsSeed(t *testing.T) {
	t.Parallel()
	n, err := NetworkByName("localnet")
	if err != nil {
		t.Fatal(err)
	}
	seed := LocalSeed()
	id := market.NodeID(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
	want := fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1/p2p/%s", LocalPort, id)
	if len(n.Bootstrap) != 1 || n.Bootstrap[0] != want {
		t.Errorf("localnet meets at %v, want %s", n.Bootstrap, want)
	}
}

func TestRelaxations_OnlyLocalnet(t *testing.T) {
	t.Parallel()
	for _, n := range networks {
		if n.Local != (n.Name == "localnet") || !n.Local && n.Genesis == "" {
			t.Errorf("%+v", n)
		}
	}
	local, err := NetworkByName("localnet-x1")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range publicGenesis {
		var e *market.Error
		if err := local.CheckGenesis(g); !errors.As(err, &e) || e.Code != market.CodeWrongLedger {
			t.Errorf("localnet on %s: %v", g, err)
		}
	}
	if err := local.CheckGenesis("11111111111111111111111111111111"); err != nil {
		t.Error(err)
	}
}

var privateIPs = []string{
	"10.0.0.1", "10.255.255.254", "172.16.0.1", "172.17.0.2", "172.31.255.1", "192.168.0.1", "192.168.178.1",
	"100.64.0.1", "100.100.100.100",
	"100.127.255.254", "127.0.0.1", "127.8.8.8", "169.254.1.1", "169.254.169.254", "0.0.0.0", "0.1.2.3", "192.0.2.1",
	"198.18.0.1", "198.19.9.9",
	"198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1",
	"fe80::1", "febf::1", "fc00::1",
	"fd12:3456::1", "2001:db8::1", "ff02::1", "ff05::2", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:192.168.1.1",
	"64:ff9b::a00:1",
}

func TestPublicIP_PrivateRanges_AreNone(t *testing.T) {
	t.Parallel()
	for _, s := range privateIPs {
		if PublicIP(netip.MustParseAddr(s)) {
			t.Errorf("%s counts as public", s)
		}
	}
	for _, s := range []string{"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1",
		"2606:4700::1111", "2a00::1"} {
		if !PublicIP(netip.MustParseAddr(s)) {
			t.Errorf("%s counts as private", s)
		}
	}
}

func addrOf(t *testing.T, ip string) ma.Multiaddr {
	t.Helper()
	proto := "/ip4/"
	if netip.MustParseAddr(ip).Is6() {
		proto = "/ip6/"
	}
	a, err := ma.NewMultiaddr(proto + ip + "/udp/4801/quic-v1")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestGater_RefusesPrivateDials(t *testing.T) {
	t.Parallel()
	g := newGater(false, time.Now)
	g.setPrefixes([]netip.Prefix{netip.MustParsePrefix("192.168.178.5/24")})
	id, err := PeerOf(market.NodeID(testKey(1).Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range privateIPs {
		if g.InterceptAddrDial(id, addrOf(t, s)) {
			t.Errorf("would dial %s", s)
		}
	}
	relay := ma.StringCast("/ip4/10.0.0.1/tcp/1/p2p/" + id.String() + "/p2p-circuit")
	if g.InterceptAddrDial(id, relay) {
		t.Error("would dial a private relay")
	}
	if !g.InterceptAddrDial(id, addrOf(t, "1.1.1.1")) {
		t.Error("refuses a public address")
	}
	g.allowLAN(id)
	for ip, want := range map[string]bool{"192.168.178.9": true, "192.168.178.5": false, "192.168.1.9": false,
		"127.0.0.1": false} {
		if g.InterceptAddrDial(id, addrOf(t, ip)) != want {
			t.Errorf("peer from config at %s: want %v", ip, want)
		}
	}
}

func TestAddrs_Announce(t *testing.T) {
	t.Parallel()
	var in []ma.Multiaddr
	for _, s := range privateIPs {
		in = append(in, addrOf(t, s))
	}
	if got := announce(in, false, false, nil); len(got) != 0 {
		t.Errorf("announced %v", got)
	}
	id, err := PeerOf(market.NodeID(testKey(1).Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"} {
		in = append(in, addrOf(t, s), ma.StringCast("/ip4/"+s+"/tcp/4801/p2p/"+id.String()+"/p2p-circuit"))
	}
	if got := announce(in, false, false, nil); len(got) != 4 || relayed(got[1]) || !relayed(got[2]) ||
		!relayed(got[3]) {
		t.Errorf("announced %v", got)
	}
	if got := announce(in, false, true, nil); len(got) != 2 || !relayed(got[0]) {
		t.Errorf("relay only: %v", got)
	}
	lan := []ma.Multiaddr{addrOf(t, "172.17.0.1"), addrOf(t, "127.0.0.1"), addrOf(t, "192.168.0.2")}
	got := announce(lan, true, false, []netip.Addr{netip.MustParseAddr("172.17.0.1")})
	if len(got) != 3 || got[0].String() != lan[2].String() || got[2].String() != lan[0].String() {
		t.Errorf("localnet, first the LAN, last the bridge: %v", got)
	}
}

func TestGater_Bans_ExpireAndStayBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	g := newGater(true, func() time.Time { return now })
	g.ban("x", now.Add(time.Hour))
	if !g.banned("x") {
		t.Error("not banned")
	}
	now = now.Add(time.Hour)
	if g.banned("x") {
		t.Error("ban does not end")
	}
	for i := range maxBans + 10 {
		g.ban(peer.ID(rune(i)), now.Add(time.Duration(i)))
	}
	if len(g.bans) > maxBans {
		t.Errorf("%d bans", len(g.bans))
	}
}
