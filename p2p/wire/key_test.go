package wire

import (
	"crypto/rand"
	"testing"

	"filippo.io/edwards25519"

	"github.com/gpuai/gpuai/market"
)

// TestSmallOrder_IsWhatTheCurveSays: of each listed encoding with either sign, of all encodings at or above the prime,
// and of random ones, those are of small order that eight times the point says are; the listed ones make up the whole
// subgroup.
func TestSmallOrder_IsWhatTheCurveSays(t *testing.T) {
	identity := edwards25519.NewIdentityPoint()
	keys := append([]market.NodeID{}, smallOrders[:]...)
	for low := 0xec; low <= 0xff; low++ {
		keys = append(keys, nearPrime(byte(low)))
	}
	for b := byte(0); b < 32; b++ {
		keys = append(keys, market.NodeID{b})
	}
	for range 200 {
		var k market.NodeID
		_, _ = rand.Read(k[:]) // it never fails
		keys = append(keys, k)
	}
	subgroup := map[string]bool{}
	for _, k := range keys {
		for _, sign := range []byte{0, 0x80} {
			k[31] ^= sign
			p, err := new(edwards25519.Point).SetBytes(k[:])
			if err != nil {
				if smallOrder(k) {
					t.Errorf("%x is listed and no point", k[:])
				}
				continue
			}
			small := new(edwards25519.Point).MultByCofactor(p).Equal(identity) == 1
			if small != smallOrder(k) {
				t.Errorf("%x: small order %v, the curve says %v", k[:], smallOrder(k), small)
			}
			if small {
				subgroup[string(p.Bytes())] = true
			}
		}
	}
	if len(subgroup) != 8 {
		t.Errorf("%d points of small order are listed, want 8", len(subgroup))
	}
}
