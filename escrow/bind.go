package escrow

import (
	"crypto/ed25519"

	"github.com/gpuai/gpuai/market"
)

// bindMessage is what a voucher key signs to be bound to a customer's node and a Channel.
func bindMessage(customer market.NodeID, ch market.ChannelID) []byte {
	return append(append([]byte("gpuai/bind/1"), customer[:]...), ch[:]...)
}

// SignBind says with a Channel's voucher key that a node is its customer.
func SignBind(key ed25519.PrivateKey, customer market.NodeID, ch market.ChannelID) (sig [64]byte) {
	copy(sig[:], ed25519.Sign(key, bindMessage(customer, ch)))
	return sig
}

// Bound reports that a voucher key said so.
func Bound(key [32]byte, customer market.NodeID, ch market.ChannelID, sig [64]byte) bool {
	strict, err := ParseVoucherKey(key[:])
	return err == nil && Verify(strict, bindMessage(customer, ch), sig)
}
