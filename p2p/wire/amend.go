package wire

import (
	"crypto/ed25519"

	"github.com/gpuai/gpuai/market"
)

// EncodeAmend writes the body of an Amend.
func EncodeAmend(a market.Amend) []byte {
	return marshal(&PBAmend{Lease: a.Lease[:], Cap: uint64(a.Cap), At: ms(a.At)})
}

// DecodeAmend reads and checks the body of an Amend. Errors: ErrMalformed, ErrTooLarge.
func DecodeAmend(body []byte) (market.Amend, error) {
	var m PBAmend
	if err := unmarshal(body, &m, KindAmend); err != nil {
		return market.Amend{}, err
	}
	r := &reader{}
	a := market.Amend{Cap: market.Amount(m.Cap), At: r.time(m.At, "at")}
	r.fixed(a.Lease[:], m.Lease, "lease")
	if m.Cap == 0 || m.Cap > 1<<62 {
		r.fail("cap out of range")
	}
	if err := r.done(KindAmend); err != nil {
		return market.Amend{}, err
	}
	return a, nil
}

// SealAmend signs an Amend. Errors: as Seal and DecodeAmend.
func SealAmend(key ed25519.PrivateKey, network string, a market.Amend) ([]byte, error) {
	return seal(key, network, KindAmend, EncodeAmend(a), DecodeAmend)
}

// OpenAmend verifies and reads an Amend. Errors: as Open and DecodeAmend.
func OpenAmend(raw []byte, network string) (market.Amend, Envelope, error) {
	return open(raw, network, KindAmend, DecodeAmend)
}
