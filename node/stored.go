package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/runtime/job"
)

// journal keeps one signer's intents below its prefix.
type journal struct {
	db     *store.Store
	prefix string
}

// Put implements solana.Journal.
func (j journal) Put(key string, record []byte) error {
	return j.db.Commit(context.Background(),
		store.Change{Puts: []store.Put{{Bucket: store.BucketChain, Key: []byte(j.prefix + key), Value: record}}})
}

// Delete implements solana.Journal.
func (j journal) Delete(key string) error {
	return j.db.Commit(context.Background(),
		store.Change{Deletes: []store.Ref{{Bucket: store.BucketChain, Key: []byte(j.prefix + key)}}})
}

// All implements solana.Journal.
func (j journal) All() (map[string][]byte, error) {
	out := map[string][]byte{}
	err := j.db.Scan(store.BucketChain, []byte(j.prefix), func(k, v []byte) error {
		out[string(k[len(j.prefix):])] = v
		return nil
	})
	return out, err
}

// memory keeps the engine's intent rows.
type memory struct{ db *store.Store }

func jobKey(k job.Key) []byte { return append(k.Lease[:], byte(k.Attempt)) }

// Load implements job.Memory.
func (m memory) Load(_ context.Context, k job.Key) ([]byte, error) {
	return m.db.Get(store.BucketJobs, jobKey(k))
}

// Save implements job.Memory.
func (m memory) Save(ctx context.Context, k job.Key, row []byte) error {
	return m.db.Commit(ctx, store.Change{Puts: []store.Put{{Bucket: store.BucketJobs, Key: jobKey(k), Value: row}}})
}

// peerBook keeps the peers that were good.
type peerBook struct{ db *store.Store }

// Peers implements p2p.PeerStore.
func (b peerBook) Peers(context.Context) (out []p2p.PeerRecord, err error) {
	err = b.db.Scan(store.BucketPeers, nil, func(k, v []byte) error {
		var r p2p.PeerRecord
		if err := store.Unrow(v, &r); err != nil {
			return fmt.Errorf("peer row %x: %w", k, err)
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

// savePeersAtOnce is below what one Change holds.
const savePeersAtOnce = 32

// SavePeers implements p2p.PeerStore.
func (b peerBook) SavePeers(ctx context.Context, put []p2p.PeerRecord, drop []market.NodeID) error {
	var c store.Change
	flush := func(most int) error {
		if len(c.Puts)+len(c.Deletes) <= most {
			return nil
		}
		err := b.db.Commit(ctx, c)
		c = store.Change{}
		return err
	}
	for _, r := range put {
		c.Puts = append(c.Puts, store.Put{Bucket: store.BucketPeers, Key: r.ID[:], Value: store.Row(r)})
		if err := flush(savePeersAtOnce); err != nil {
			return err
		}
	}
	for _, id := range drop {
		c.Deletes = append(c.Deletes, store.Ref{Bucket: store.BucketPeers, Key: id[:]})
		if err := flush(savePeersAtOnce); err != nil {
			return err
		}
	}
	return flush(0)
}

var keyPort = []byte("p2p/port")

// lastPort is the UDP port of the last start if it is free, else 0. On the same port and key a node ends its peers' old
// connections at once: QUIC tells them so. On another one they wait for a minute.
func lastPort(db *store.Store) int {
	b, err := db.Get(store.BucketMeta, keyPort)
	if err != nil || len(b) != 2 {
		return 0
	}
	port := int(binary.BigEndian.Uint16(b))
	c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil || c.Close() != nil {
		return 0
	}
	return port
}

// keepPort stores the UDP port for lastPort.
func keepPort(ctx context.Context, db *store.Store, port int) error {
	return db.Commit(ctx, store.Change{Puts: []store.Put{{Bucket: store.BucketMeta, Key: keyPort,
		Value: binary.BigEndian.AppendUint16(nil, uint16(port))}}})
}
