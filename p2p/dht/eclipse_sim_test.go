package dht

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio"
	"google.golang.org/protobuf/proto"

	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// near returns the keys of n nodes that lie closer to a key of the table than honest nodes do: of many made, the best.
func near(t *testing.T, k Key, n, made int) (out []ed25519.PrivateKey) {
	t.Helper()
	c, err := k.cid(p2ptest.Network)
	if err != nil {
		t.Fatal(err)
	}
	target := sha256.Sum256(c.Hash())
	type node struct {
		key ed25519.PrivateKey
		far [32]byte
	}
	all := make([]node, made)
	for i := range all {
		seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("sybil "+string(k)), uint64(i)))
		all[i].key = ed25519.NewKeyFromSeed(seed[:])
		id, err := p2p.PeerOf(p2ptest.NodeID(all[i].key))
		if err != nil {
			t.Fatal(err)
		}
		all[i].far = sha256.Sum256([]byte(id))
		for j := range target {
			all[i].far[j] ^= target[j]
		}
	}
	slices.SortFunc(all, func(a, b node) int { return bytes.Compare(a.far[:], b.far[:]) })
	for _, a := range all[:n] {
		out = append(out, a.key)
	}
	return out
}

// sybils are nodes round some keys that answer as the table wants, keep nothing, and know only each other.
func sybils(t *testing.T, n *p2ptest.Net, keys []Key, each int, know []*member) {
	t.Helper()
	var hosts []*p2p.Host
	var infos []peer.AddrInfo
	for _, k := range keys {
		for _, key := range near(t, k, each, 200*each) {
			h := n.Start(t, p2p.Config{Key: key, Infra: true})
			hosts = append(hosts, h)
			infos = append(infos, peer.AddrInfo{ID: h.Libp2p().ID(), Addrs: h.Libp2p().Addrs()})
		}
	}
	for i, h := range hosts {
		ring := slices.Concat(infos[i/each*each:i/each*each+each], infos[:min(len(infos), each)])
		h.Libp2p().SetStreamHandler(p2p.DHTPrefix(h.Network())+"/kad/1.0.0", func(st network.Stream) {
			deny(st, ring)
		})
		for _, m := range know {
			if err := h.Connect(t.Context(), m.ID(), m.Addrs()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func deny(st network.Stream, ring []peer.AddrInfo) {
	defer st.Close()
	r, w := msgio.NewVarintReader(st), msgio.NewVarintWriter(st)
	for {
		b, err := r.ReadMsg()
		if err != nil {
			return
		}
		var m kadpb.Message
		if proto.Unmarshal(b, &m) != nil || m.GetType() == kadpb.Message_ADD_PROVIDER {
			continue
		}
		if m.GetType() != kadpb.Message_PING {
			m.CloserPeers = kadpb.RawPeerInfosToPBPeers(ring)
		}
		if b, err = proto.Marshal(&m); err != nil || w.WriteMsg(b) != nil {
			return
		}
	}
}

// quietMarket is one in which nobody has announced anything yet.
func quietMarket(t *testing.T, n *p2ptest.Net, rigs int) (infra, all []*member) {
	t.Helper()
	for i := range byte(3) {
		infra = append(infra, join(t, n, 1+i, true, "", infra...))
	}
	for i := range byte(rigs) {
		all = append(all, join(t, n, 10+i, false, "provider", infra...))
	}
	time.Sleep(30 * time.Second)
	return infra, all
}

// TestEclipseKey: as many Sybils round a class' own key as keep a record hide it there, and its seller notices. A buyer
// finds a rig all the same by the other keys.
func TestEclipseKey(t *testing.T) {
	t.Parallel()
	rigs, eclipsed, buyers := 9, []int{1}, 2
	if os.Getenv("GPUAI_LONG") == "1" {
		rigs, eclipsed, buyers = 45, []int{1, 5, 10}, 25
	}
	for _, keys := range eclipsed {
		t.Run(fmt.Sprintf("%d Sybils", keys*bucketSize), func(t *testing.T) {
			p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
				infra, all := quietMarket(t, n, rigs)
				sellers := []*member{all[0], all[4], all[8]}
				targets := append([]Key{Class(class)}, Class(class).parts()...)[:keys]
				sybils(t, n, targets, bucketSize, slices.Concat(infra, all))
				for _, m := range sellers {
					m.dht.Announce(m.dht.ClassKeys(class, len(sellers))...)
				}
				time.Sleep(8 * time.Minute)
				if seen := all[0].dht.Stats().Seen; !seen.Unseen || seen.Key != Class(class) && keys == 1 {
					t.Errorf("the seller does not notice: %+v", seen)
				}
				found := 0
				for i := range buyers {
					buyer := join(t, n, byte(201+i), false, "customer", infra...)
					time.Sleep(5 * time.Second)
					got, err := buyer.dht.Find(t.Context(), Class(class), 1, sells(buyer.Host, sellers...))
					if err == nil && len(got.Good) > 0 {
						found++
					}
				}
				if found*100 < buyers*99 {
					t.Errorf("%d of %d buyers found a rig", found, buyers)
				}
			})
		})
	}
}

// TestSelfProbe_HealthyNetwork_NoAlarm: the same seller without Sybils.
func TestSelfProbe_HealthyNetwork_NoAlarm(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		_, all := quietMarket(t, n, 5)
		all[0].dht.Announce(all[0].dht.ClassKeys(class, 1)...)
		time.Sleep(4 * time.Minute)
		if s := all[0].dht.Stats().Seen; s.Unseen || s.Asked == 0 || s.Ratio() < 0.9 {
			t.Errorf("%+v", s)
		}
		counts := all[0].Counts()
		if counts[p2p.Count{Of: p2p.CountAnnouncements, Label: "ok"}] == 0 {
			t.Errorf("%v", counts)
		}
	})
}

// TestProviderRecordFlood: more fake records of many networks than a look-up may ask about within its time do not hide
// the rig, whose part of the class has a turn after each of theirs.
func TestProviderRecordFlood(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		infra, rigs := quietMarket(t, n, 4)
		rigs[0].dht.Announce(rigs[0].dht.ClassKeys(class, 1)...)
		time.Sleep(30 * time.Second)
		fakes(t, slices.Concat(infra, rigs), 1000, func(i int) string {
			return fmt.Sprintf("/ip4/%d.%d.0.1/udp/4801/quic-v1", 20+i%80, i/80)
		})
		var buyer *member
		for i := range byte(3) { // by chance a look-up begins with the rig's part
			buyer = join(t, n, 200+i, false, "customer", infra...)
			time.Sleep(5 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			found, err := buyer.dht.Find(ctx, Class(class), 1, sells(buyer.Host, rigs[0]))
			cancel()
			if err != nil || len(found.Good) != 1 {
				t.Fatalf("%d records, good %v: %v", found.Records, found.Good, err)
			}
		}
		counts := buyer.Counts()
		if counts[p2p.Count{Of: p2p.CountLookups, Label: "found"}] != 1 ||
			counts[p2p.Count{Of: p2p.CountRecords}] == 0 {
			t.Errorf("%v", counts)
		}
	})
}
