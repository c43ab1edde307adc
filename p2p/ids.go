package p2p

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/gpuai/gpuai/market"
)

// PeerOf returns libp2p's id of a node. Errors: the bytes are no key.
func PeerOf(id market.NodeID) (peer.ID, error) {
	key, err := crypto.UnmarshalEd25519PublicKey(id[:])
	if err != nil {
		return "", fmt.Errorf("peer id of node: %w", err)
	}
	p, err := peer.IDFromPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("peer id of node: %w", err)
	}
	return p, nil
}

// NodeOf returns the node behind a peer id; false for a key that is not Ed25519.
func NodeOf(p peer.ID) (id market.NodeID, ok bool) {
	key, err := p.ExtractPublicKey()
	if err != nil || key.Type() != crypto.Ed25519 {
		return id, false
	}
	raw, err := key.Raw()
	ok = err == nil && copy(id[:], raw) == len(id)
	return id, ok
}
