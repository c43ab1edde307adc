package escrow

import (
	"slices"
	"testing"

	"filippo.io/edwards25519"
)

// TestSmallOrder_IsAllOfThem: the table holds each encoding of a point of small order that is canonical, and no other
// point. They are the multiples of a point of order 8.
func TestSmallOrder_IsAllOfThem(t *testing.T) {
	t.Parallel()
	p, err := new(edwards25519.Point).SetBytes(order8a[:])
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]bool{}
	for q, n := edwards25519.NewIdentityPoint(), 0; n < 8; n++ {
		b := [32]byte(q.Bytes())
		seen[b] = true
		if !slices.Contains(smallOrder, b) {
			t.Errorf("%d times the point of order 8, %x, is not in the table", n, b)
		}
		q = new(edwards25519.Point).Add(q, p)
	}
	if len(seen) != 8 || len(smallOrder) != 8 {
		t.Errorf("%d points of small order, %d in the table", len(seen), len(smallOrder))
	}
	for _, b := range smallOrder {
		if strictPoint(b) {
			t.Errorf("%x is a strict point", b)
		}
	}
}
