package dht

import (
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// FuzzRecord: a provider record of any form is asked about at most once, at addresses that may be dialled.
func FuzzRecord(f *testing.F) {
	h, err := p2p.New(p2p.Config{Network: "devnet", Key: p2ptest.Key(1)}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	id, err := p2p.PeerOf(p2ptest.NodeID(p2ptest.Key(2)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(id), ma.StringCast("/ip4/1.2.3.4/udp/4801/quic-v1").Bytes())
	f.Add([]byte(id), ma.StringCast("/ip4/10.0.0.1/udp/4801/quic-v1").Bytes())
	f.Add([]byte("\x12\x20"+strings.Repeat("x", 32)), ma.StringCast("/dns4/example.org/tcp/443").Bytes())
	f.Fuzz(func(t *testing.T, id, addr []byte) {
		a, err := ma.NewMultiaddrBytes(addr)
		if err != nil {
			return
		}
		l := newFinding(1, nil, h.ID(), nil)
		for range 2 {
			l.add(Infra, peer.ID(id), p2p.AddrTexts(h.Dialable([]ma.Multiaddr{a, a, a, a, a})))
		}
		if len(l.queue) > 1 || l.out.Records > 1 {
			t.Fatalf("asked %d times", len(l.queue))
		}
		for _, r := range l.queue {
			if len(r.addrs) > 4 || !h.MayReach(r.addrs) || len(r.addrs) > 0 && !r.from.IsValid() {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// FuzzKey: each class has a key of its own, in each network another one.
func FuzzKey(f *testing.F) {
	f.Add("rtx-4090", "h100")
	f.Fuzz(func(t *testing.T, a, b string) {
		ca, err := Class(a).cid("devnet")
		if err != nil {
			t.Fatal(err)
		}
		cb, err := Class(b).cid("devnet")
		if err != nil {
			t.Fatal(err)
		}
		other, err := Class(a).cid("localnet")
		if err != nil {
			t.Fatal(err)
		}
		if ca.Equals(cb) != (a == b) || ca.Equals(other) {
			t.Fatalf("%q and %q: %s, %s, %s", a, b, ca, cb, other)
		}
	})
}
