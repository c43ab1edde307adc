package escrow

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"

	"filippo.io/edwards25519"
)

// ErrKey reports a key that the chain or its signature precompile could treat differently from us.
var ErrKey = errors.New("not a strict ed25519 key")

// fieldPrime is p = 2^255 − 19, little-endian.
var fieldPrime = [32]byte{
	0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
}

// strictPoint accepts b if y < p, it decodes, x = 0 has no sign bit, and it is not one of the 8 small-order points.
func strictPoint(b [32]byte) bool {
	y := b
	y[31] &= 0x7f
	if !below(y, fieldPrime) {
		return false
	}
	p, err := new(edwards25519.Point).SetBytes(b[:])
	if err != nil {
		return false
	}
	// 01 00…80 and EC FF…FF decode to x = 0 with a sign bit; both are of small order, so the next line refuses them as
	// well.
	return new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) != 1
}

// below compares little-endian numbers; its inputs are public, so timing does not matter.
func below(a, b [32]byte) bool {
	for i := 31; i >= 0; i-- {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// ParseVoucherKey accepts 32 bytes as a voucher or release key: y < p, on the curve, not of small order. Errors:
// ErrKey.
func ParseVoucherKey(b []byte) (key [32]byte, err error) {
	if len(b) != 32 {
		return key, ErrKey
	}
	copy(key[:], b)
	if !strictPoint(key) {
		return [32]byte{}, ErrKey
	}
	return key, nil
}

// Verify checks an Ed25519 signature and accepts a subset of what the chain's precompile accepts: key and R are
// canonical and not of small order, S < L, and the equation holds without cofactor. Never batch-verify vouchers:
// batches are cofactored, so laxer.
func Verify(key [32]byte, msg []byte, sig [64]byte) bool {
	return strictPoint(key) && strictPoint([32]byte(sig[:32])) && ed25519.Verify(key[:], msg, sig[:])
}

// OnCurve reports whether b decompresses to a curve point as the Solana runtime sees it (non-canonical y included). A
// PDA must not.
func OnCurve(b [32]byte) bool {
	_, err := new(edwards25519.Point).SetBytes(b[:])
	return err == nil
}

// Ed25519DataLen is the length of the precompile's instruction data for one 50-byte message.
const Ed25519DataLen = 162

// Ed25519Data returns the data of the Ed25519SigVerify instruction for one message: all offsets inside itself, all
// indexes 0xFFFF.
func Ed25519Data(key [32]byte, msg [MessageLen]byte, sig [64]byte) (b [Ed25519DataLen]byte) {
	b[0] = 1
	for i, v := range [...]uint16{48, 0xffff, 16, 0xffff, 112, MessageLen, 0xffff} {
		binary.LittleEndian.PutUint16(b[2+2*i:], v)
	}
	copy(b[16:48], key[:])
	copy(b[48:112], sig[:])
	copy(b[112:], msg[:])
	return b
}
