package escrowtest

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"fmt"

	"filippo.io/edwards25519"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// Vector is one crafted Ed25519 case over a voucher's bytes. Honest marks a signature that every verifier has to
// accept.
type Vector struct {
	Name   string
	Key    [32]byte
	Msg    [escrow.MessageLen]byte
	Sig    [64]byte
	Honest bool
}

// SmallOrder lists the eight points of small order and their non-canonical twins, compressed, in hex.
var SmallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

// groupOrder is L, little-endian.
const groupOrder = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"

func unhex(s string) (b [32]byte) {
	raw, _ := hex.DecodeString(s) // constants of this file; TestVectors checks them
	copy(b[:], raw)
	return b
}

// craft signs msg with A = a·B + low_a and R = r·B + low_r, encoding R as given (empty: canonical).
func craft(msg [escrow.MessageLen]byte, lowA, lowR *edwards25519.Point, a, r byte) (key [32]byte, sig [64]byte) {
	scalar := func(b byte) *edwards25519.Scalar {
		var raw [64]byte
		raw[0] = b
		s, _ := edwards25519.NewScalar().SetUniformBytes(raw[:]) // 64 bytes never fail
		return s
	}
	sa, sr := scalar(a), scalar(r)
	pub := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(sa), lowA)
	rp := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(sr), lowR)
	h := sha512.New()
	h.Write(rp.Bytes())
	h.Write(pub.Bytes())
	h.Write(msg[:])
	k, _ := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil)) // 64 bytes never fail
	copy(sig[:], rp.Bytes())
	copy(sig[32:], edwards25519.NewScalar().MultiplyAdd(k, sa, sr).Bytes())
	return [32]byte(pub.Bytes()), sig
}

// SignatureVectors returns honest, mutated and crafted cases: identity, small and mixed order A and R (a and r zero
// make them pure), every non-canonical encoding, S + L, S = 0. Verifiers disagree on many; ours must accept a subset of
// the chain's.
func SignatureVectors() (out []Vector) {
	key := Key("vectors")
	pub := escrow.PublicKey(key)
	msg := func(i int) [escrow.MessageLen]byte {
		return escrow.Voucher{Channel: market.ChannelID{9}, Amount: market.Amount(i)}.Encode()
	}
	for i := range 4 {
		m := msg(i)
		sig := [64]byte(ed25519.Sign(key, m[:]))
		out = append(out, Vector{fmt.Sprintf("honest %d", i), pub, m, sig, true})
		over, order, carry := sig, unhex(groupOrder), uint16(0)
		for j := range 32 {
			carry += uint16(over[32+j]) + uint16(order[j])
			over[32+j], carry = byte(carry), carry>>8
		}
		out = append(out, Vector{fmt.Sprintf("S + L %d", i), pub, m, over, false})
		flip := sig
		flip[i*17] ^= 4
		out = append(out, Vector{fmt.Sprintf("flipped bit %d", i), pub, m, flip, false})
	}
	n := 0
	for ai, as := range SmallOrder[:8] {
		for ri, rs := range SmallOrder[:8] {
			ab, rb := unhex(as), unhex(rs)
			pa, errA := new(edwards25519.Point).SetBytes(ab[:])
			pr, errR := new(edwards25519.Point).SetBytes(rb[:])
			if errA != nil || errR != nil {
				continue
			}
			for _, s := range [][2]byte{{5, 9}, {0, 9}, {5, 0}, {0, 0}} {
				n++
				k, sig := craft(msg(n), pa, pr, s[0], s[1])
				out = append(out, Vector{fmt.Sprintf("A = %d·B + low %d, R = %d·B + low %d", s[0], ai, s[1], ri), k,
					msg(n), sig, false})
			}
		}
	}
	for ai, as := range SmallOrder {
		for ri, rs := range SmallOrder {
			var sig [64]byte
			r := unhex(rs)
			copy(sig[:], r[:])
			out = append(out, Vector{fmt.Sprintf("small key %d, small R %d, S = 0", ai, ri), unhex(as), msg(ai*16 + ri),
				sig, false})
		}
	}
	return out
}
