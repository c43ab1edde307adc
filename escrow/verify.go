package escrow

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"slices"

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

// smallOrder are the canonical encodings of the eight points of small order. A signature whose R is another encoding of
// such a point never verifies, since R is compared as bytes with a canonical encoding.
var smallOrder = [][32]byte{
	{0x01}, // the identity
	{},     // order 4, both signs
	{31: 0x80},
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // order 2
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	order8a, order8b, negative(order8a), negative(order8b),
}

var (
	order8a = [32]byte{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}
	order8b = [32]byte{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}
)

// negative is the encoding of the point with the other x.
func negative(b [32]byte) [32]byte {
	b[31] |= 0x80
	return b
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
	return strictPoint(key) && verifyBy(key, msg, sig)
}

// verifyBy is Verify with a key that has passed ParseVoucherKey. The library compares R with the encoding of s·B − k·A,
// so an R that it takes is canonical and on the curve.
func verifyBy(key [32]byte, msg []byte, sig [64]byte) bool {
	return !slices.Contains(smallOrder, [32]byte(sig[:32])) && ed25519.Verify(key[:], msg, sig[:])
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

// Ed25519Message is the message of such data, nil: it is none of that length.
func Ed25519Message(data []byte) []byte {
	if len(data) != Ed25519DataLen {
		return nil
	}
	return data[112:]
}
