package dht

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/gpuai/gpuai/market"
)

// Key is what a record is about.
type Key string

// Roles of meeting points.
const (
	Infra   Key = "role/infra"
	Indexer Key = "role/indexer"
)

// Class is the key of the rigs that sell devices of a class.
func Class(class string) Key { return Key("class/" + class) }

// shards are the parts of a crowded class.
const shards = 16

// shard is a part of a crowded class: a node cannot choose another one than its key gives.
func (k Key) shard(n int) Key { return k + Key("/"+strconv.Itoa(n)) }

func shardOf(id market.NodeID) int { return int(id[0]) % shards }

// crowd is how many rigs of a class share one key; above it they are found by parts.
const crowd = 200

// ClassKeys are the keys under which this node announces a class of which about so many rigs are known.
func (s *Service) ClassKeys(class string, rigs int) []Key {
	part := Class(class).shard(shardOf(s.host.ID()))
	if rigs > crowd {
		return []Key{part}
	}
	return []Key{Class(class), part}
}

// parts are all parts of a class, in no order.
func (k Key) parts() (out []Key) {
	for _, n := range rand.Perm(shards) {
		out = append(out, k.shard(n))
	}
	return out
}

// cid is the key as the table takes it: CIDv1 raw, sha2-256 of "gpuai/dht/1" 00 network 00 key.
func (k Key) cid(network string) (cid.Cid, error) {
	h, err := multihash.Sum([]byte("gpuai/dht/1\x00"+network+"\x00"+string(k)), multihash.SHA2_256, -1)
	if err != nil {
		return cid.Undef, fmt.Errorf("key %q: %w", k, err)
	}
	return cid.NewCidV1(cid.Raw, h), nil
}
