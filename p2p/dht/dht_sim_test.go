package dht

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

const class = "rtx-4090"

// member is one node of a simulated network.
type member struct {
	*p2p.Host
	dht *Service
}

func join(t *testing.T, n *p2ptest.Net, seed byte, infra bool, role string, boot ...*member) *member {
	t.Helper()
	cfg := p2p.Config{Key: p2ptest.Key(seed), Infra: infra}
	if role != "" {
		cfg.Roles = []string{role}
	}
	for _, b := range boot {
		cfg.Bootstrap = append(cfg.Bootstrap, b.FullAddrs()...)
	}
	m := &member{Host: n.Start(t, cfg)}
	m.dht = New(m.Host, nil)
	p2ptest.Serve(t, m.dht.Serve)
	return m
}

// market of nodes: three meeting points, some rigs and a buyer who hears no gossip at all.
func grow(t *testing.T, n *p2ptest.Net, rigs int) (infra, sellers []*member, buyer *member) {
	t.Helper()
	for i := range byte(3) {
		infra = append(infra, join(t, n, 1+i, true, "", infra...))
	}
	for i := range byte(rigs) {
		m := join(t, n, 10+i, false, "provider", infra...)
		if i%4 == 0 {
			m.dht.Announce(Class(class))
		}
		sellers = append(sellers, m)
	}
	time.Sleep(time.Minute)
	buyer = join(t, n, 200, false, "customer", infra...)
	time.Sleep(10 * time.Second)
	return infra, sellers, buyer
}

// sells is the Check of these tests: a connection, and what the test knows.
func sells(h *p2p.Host, true_ ...*member) Check {
	return func(ctx context.Context, id market.NodeID, addrs []string) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := h.Connect(ctx, id, addrs); err != nil {
			return err
		}
		if !slices.ContainsFunc(true_, func(m *member) bool { return m.ID() == id }) {
			return errors.New("it sells nothing")
		}
		return nil
	}
}

func TestSim_Find_WithoutGossip_TheRigsOfAClass(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		_, rigs, buyer := grow(t, n, 12)
		sellers := []*member{rigs[0], rigs[4], rigs[8]}
		start := time.Now()
		found, err := buyer.dht.Find(t.Context(), Class(class), 3, sells(buyer.Host, sellers...))
		if err != nil || len(found.Good) != 3 {
			t.Fatalf("found %+v, %v", found, err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("took %s of virtual time", took)
		}
		if found, err = buyer.dht.Find(t.Context(), Class("h100"), 3, sells(buyer.Host)); err != nil ||
			found.Records != 0 {
			t.Errorf("a class that nobody sells: %+v, %v", found, err)
		}
	})
}

// TestSim_Find_FakeRecords_TheTrueRig: 200 records of nobody, on all nodes that keep the key, do not hide the one rig.
func TestSim_Find_FakeRecords_TheTrueRig(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(i int) string{
		"of one network":   func(i int) string { return fmt.Sprintf("/ip4/2.0.0.%d/udp/4801/quic-v1", 1+i%250) },
		"of many networks": func(i int) string { return fmt.Sprintf("/ip4/%d.0.0.1/udp/4801/quic-v1", 20+i%80) },
	} {
		t.Run(name, func(t *testing.T) {
			p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
				infra, rigs, buyer := grow(t, n, 4)
				fakes(t, slices.Concat(infra, rigs), 200, at)
				found, err := buyer.dht.Find(t.Context(), Class(class), 1, sells(buyer.Host, rigs[0]))
				if err != nil || len(found.Good) != 1 {
					t.Fatalf("%d records, good %v: %v", found.Records, found.Good, err)
				}
				none := func(context.Context, market.NodeID, []string) error { return errors.New("not asked") }
				if all, err := buyer.dht.Find(t.Context(), Class(class), 1, none); err != nil || all.Records < 150 {
					t.Errorf("%d records were there, %v", all.Records, err)
				}
			})
		})
	}
}

// fakes has members keep records of nodes that are not there, under the key of the class.
func fakes(t *testing.T, members []*member, n int, at func(i int) string) {
	t.Helper()
	c, err := Class(class).cid(p2ptest.Network)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		key := ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i)))
		id, err := p2p.PeerOf(p2ptest.NodeID(key))
		if err != nil {
			t.Fatal(err)
		}
		fake := peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{ma.StringCast(at(i))}}
		for _, m := range members {
			if err := m.dht.table.ProviderStore().AddProvider(t.Context(), c.Hash(), fake); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSim_MeetingPoints_AreFoundByOneOldPeer: the built-in list is dead; a node that remembers one other finds others.
func TestSim_MeetingPoints_AreFoundByOneOldPeer(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		infra, rigs, _ := grow(t, n, 4)
		infra[2].dht.Announce(Infra)
		time.Sleep(time.Minute)
		n.Kill(infra[0].Host, infra[1].Host)
		late := join(t, n, 201, false, "customer", infra[0], infra[1], rigs[3])
		time.Sleep(30 * time.Second)
		found, err := late.dht.Find(t.Context(), Infra, 1, sells(late.Host, infra[2]))
		if err != nil || len(found.Good) != 1 {
			t.Fatalf("found %+v, %v", found, err)
		}
	})
}

// TestSim_Record_OfADeadRig_Ends: three hours after its last word a rig is in no answer any more; one that lives still
// is.
func TestSim_Record_OfADeadRig_Ends(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		_, rigs, buyer := grow(t, n, 5)
		n.Kill(rigs[0].Host)
		time.Sleep(Validity + Reprovide)
		found, err := buyer.dht.Find(t.Context(), Class(class), 0, sells(buyer.Host, rigs[4]))
		if err != nil || found.Records != 1 || !slices.Equal(found.Good, []market.NodeID{rigs[4].ID()}) {
			t.Fatalf("found %+v, %v", found, err)
		}
	})
}
