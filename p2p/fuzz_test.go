package p2p

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/gpuai/gpuai/market"
)

func unserved(t testing.TB, network string, store PeerStore) *Host {
	t.Helper()
	h, err := New(Config{Network: network, Key: testKey(90)}, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// FuzzAddrs: of foreign addresses none is dialled that leads into a LAN, and none that is let through is of a form
// that the gater has not judged.
func FuzzAddrs(f *testing.F) {
	f.Add("/ip4/1.2.3.4/udp/4801/quic-v1\n/ip4/10.0.0.1/udp/4801/quic-v1\n/ip6/::ffff:10.0.0.1/tcp/4801")
	f.Add("/ip6/2002:a00:1::1/tcp/4801\n/ip6/64:ff9b::a00:1/tcp/4801\n/dns4/localhost/tcp/4801")
	f.Add("/ip4/1.2.3.4/tcp/4801/p2p/12D3KooWLKm1pq8u2qmSD1eGhd5daQJ1AC58TBV3aJtQGQSH5you/p2p-circuit/ip4/10.0.0.1/tcp/80")
	h := unserved(f, "devnet", nil)
	f.Fuzz(func(t *testing.T, text string) {
		in := parseAddrs(strings.Split(text, "\n"), maxPeerAddrs)
		for _, a := range h.Dialable(in) {
			ip, err := manet.ToIP(a)
			if err != nil || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() ||
				ip.IsUnspecified() || !h.gate.InterceptAddrDial(h.self, a) {
				t.Fatalf("%s may be dialled", a)
			}
			n := 0
			ma.ForEach(a, func(c ma.Component) bool {
				if code := c.Protocol().Code; code == ma.P_IP4 || code == ma.P_IP6 {
					n++
				}
				return true
			})
			if n != 1 {
				t.Fatalf("%s holds %d IPs", a, n)
			}
		}
		for _, a := range h.announced(in) {
			if ip, ok := ipOf(a); !ok || !PublicIP(ip) {
				t.Fatalf("%s is announced", a)
			}
		}
	})
}

// recStore is a book whose rows somebody has written.
type recStore struct{ recs []PeerRecord }

func (s recStore) Peers(context.Context) ([]PeerRecord, error) { return s.recs, nil }

func (recStore) SavePeers(context.Context, []PeerRecord, []market.NodeID) error { return nil }

// FuzzPeerRecord: no row of the peer book keeps a node from starting, and what is read can be written again.
func FuzzPeerRecord(f *testing.F) {
	row, err := json.Marshal(PeerRecord{ID: market.NodeID(testKey(1)[32:]), Addrs: []string{"/ip4/1.2.3.4/tcp/4801"},
		LastOK: time.Unix(1_700_000_000, 0), BannedUntil: time.Unix(2_000_000_000, 0), Fails: 3, Roles: []string{"x"},
		BanReason: "bad", Anchor: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	f.Add([]byte(`{"ID":"","Addrs":["","/ip4/"],"Fails":255}`))
	f.Fuzz(func(t *testing.T, row []byte) {
		var r PeerRecord
		if json.Unmarshal(row, &r) != nil {
			return
		}
		h := unserved(t, "devnet", recStore{[]PeerRecord{r, r}})
		h.keep.load(t.Context())
		if n := len(h.keep.peers); n > 1 {
			t.Fatalf("one record became %d peers", n)
		}
		for p, e := range h.keep.peers {
			if len(e.addrs) > maxPeerAddrs || time.Now().Before(e.rec.BannedUntil) != h.gate.banned(p) {
				t.Fatalf("%+v", e.rec)
			}
			e.dirty = true
		}
		h.keep.save(t.Context())
		_ = h.net.kinship(string(row))
	})
}
