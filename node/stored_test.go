package node

import (
	"encoding/binary"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestPeerBook_KeepsWhatItIsGiven: as many as p2p gives at once, which is more than one change of the store holds.
func TestPeerBook_KeepsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	b := peerBook{openStore(t)}
	var all []p2p.PeerRecord
	var drop []market.NodeID
	for i := range 256 {
		r := p2p.PeerRecord{Addrs: []string{"/ip4/1.2.3.4/udp/4801/quic-v1"}, LastOK: time.UnixMilli(int64(i)).UTC(),
			Fails: uint8(i)}
		binary.BigEndian.PutUint16(r.ID[:], uint16(i))
		all = append(all, r)
		if i >= 100 {
			drop = append(drop, r.ID)
		}
	}
	if err := b.SavePeers(t.Context(), all, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Peers(t.Context()); err != nil || !cmp.Equal(got, all) {
		t.Errorf("%v: %s", err, cmp.Diff(all, got))
	}
	all[0].Fails = 7
	if err := b.SavePeers(t.Context(), all[:1], drop); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Peers(t.Context()); err != nil || !cmp.Equal(got, all[:100]) {
		t.Errorf("%v: %s", err, cmp.Diff(all[:100], got))
	}
}

// TestLastPort_AgainIfFree: a node comes back where its peers look for it, unless somebody else is there.
func TestLastPort_AgainIfFree(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	if got := lastPort(db); got != 0 {
		t.Errorf("a first start wants port %d", got)
	}
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	if err := keepPort(t.Context(), db, port); err != nil {
		t.Fatal(err)
	}
	if got := lastPort(db); got != 0 {
		t.Errorf("wants port %d, which is taken", got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := lastPort(db); got != port {
		t.Errorf("wants port %d, had %d", got, port)
	}
}
