package p2p

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// TestUpkeep_MadeRoom_IsNoLoss: a connection that a side closed to make room is not dialled again as a lost one is,
// over either transport, whoever closed it; one that ended without that reason is.
func TestUpkeep_MadeRoom_IsNoLoss(t *testing.T) {
	t.Parallel()
	quic, tcp := []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, []string{"/ip4/127.0.0.1/tcp/0"}
	for name, c := range map[string]struct {
		listen []string
		code   network.ConnErrorCode
		theirs bool
		lost   bool
	}{
		"QUIC, theirs": {quic, network.ConnGarbageCollected, true, false},
		"QUIC, ours":   {quic, network.ConnGarbageCollected, false, false},
		"TCP, theirs":  {tcp, network.ConnGarbageCollected, true, false},
		"another end":  {quic, network.ConnShutdown, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, Config{Network: "localnet-r", Key: newKey(t), Listen: c.listen}, nil)
			b := start(t, Config{Network: "localnet-r", Key: newKey(t), Listen: c.listen}, nil)
			if err := a.Connect(context.Background(), b.ID(), b.Addrs()); err != nil {
				t.Fatal(err)
			}
			them := b.Libp2p().ID()
			eventually(t, "not identified", func() bool {
				return !entryOf(a, them).rec.LastOK.IsZero() && !entryOf(b, a.Libp2p().ID()).rec.LastOK.IsZero()
			})
			conn := a.Libp2p().Network().ConnsToPeer(them)[0]
			if c.theirs {
				conn = b.Libp2p().Network().ConnsToPeer(a.Libp2p().ID())[0]
			}
			if err := conn.CloseWithError(c.code); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the end of a connection is not judged", func() bool {
				e := entryOf(a, them)
				soon := time.Until(e.next) < lostDelays[1]
				return !e.next.IsZero() && !e.left && !e.lost.IsZero() == c.lost && soon == c.lost
			})
		})
	}
}

func entryOf(h *Host, p peer.ID) entry {
	h.keep.mu.Lock()
	defer h.keep.mu.Unlock()
	return *h.keep.get(p)
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
