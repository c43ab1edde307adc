package escrow

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gpuai/gpuai/market"
)

// MessageLen is the length of a Voucher's and a Release's signed bytes; SignedLen adds the signature.
const (
	MessageLen = 50
	SignedLen  = MessageLen + ed25519.SignatureSize
)

// Magic bytes in front of each message; they keep a signature of one kind from passing as another.
const (
	voucherMagic0, voucherMagic1 = 0x56, 0x01
	releaseMagic0, releaseMagic1 = 0x52, 0x01
)

// ErrMalformed reports bytes that are not the wanted message or account; ErrExpires a voucher with an expiry, which
// never pays.
var (
	ErrMalformed = errors.New("malformed")
	ErrExpires   = errors.New("voucher expires")
)

// Voucher is the customer's claim on a Channel: Amount is cumulative, in base units of the Channel's mint.
type Voucher struct {
	Channel market.ChannelID `json:"channel"`
	Amount  market.Amount    `json:"amount"`
}

// Signed is a Voucher with the voucher key's signature over Encode().
type Signed struct {
	Voucher
	Sig [64]byte `json:"sig"`
}

// Release is the provider's consent to close a Channel now at Final (cumulative); Expires is unix seconds, never 0.
type Release struct {
	Channel market.ChannelID `json:"channel"`
	Final   market.Amount    `json:"final"`
	Expires int64            `json:"expires"`
}

// SignedRelease is a Release with the release key's signature over Encode().
type SignedRelease struct {
	Release
	Sig [64]byte `json:"sig"`
}

func encodeMessage(m0, m1 byte, ch market.ChannelID, v uint64, expires int64) (b [MessageLen]byte) {
	b[0], b[1] = m0, m1
	copy(b[2:34], ch[:])
	binary.LittleEndian.PutUint64(b[34:42], v)
	binary.LittleEndian.PutUint64(b[42:50], uint64(expires))
	return b
}

func decodeMessage(m0, m1 byte, b []byte) (ch market.ChannelID, v uint64, expires int64, err error) {
	if len(b) != MessageLen || b[0] != m0 || b[1] != m1 {
		return ch, 0, 0, fmt.Errorf("%w: want %d bytes that begin with %02x %02x", ErrMalformed, MessageLen, m0, m1)
	}
	copy(ch[:], b[2:34])
	return ch, binary.LittleEndian.Uint64(b[34:42]), int64(binary.LittleEndian.Uint64(b[42:50])), nil
}

// MessageAmount is what the program takes as settled from the signed message of a claim or record (a voucher) or of a
// release. Error: ErrMalformed.
func MessageAmount(b []byte) (market.Amount, error) {
	_, v, _, err := decodeMessage(voucherMagic0, voucherMagic1, b)
	if err != nil {
		_, v, _, err = decodeMessage(releaseMagic0, releaseMagic1, b)
	}
	return market.Amount(v), err
}

// Encode returns the 50 signed bytes: 56 01, channel, cumulative amount, expires_at 0.
func (v Voucher) Encode() [MessageLen]byte {
	return encodeMessage(voucherMagic0, voucherMagic1, v.Channel, uint64(v.Amount), 0)
}

// DecodeVoucher is the inverse of Encode. Errors: ErrMalformed: length or magic; ErrExpires: expires_at is not 0.
func DecodeVoucher(b []byte) (v Voucher, err error) {
	ch, amount, expires, err := decodeMessage(voucherMagic0, voucherMagic1, b)
	if err != nil {
		return v, fmt.Errorf("decoding a voucher: %w", err)
	}
	if expires != 0 {
		return v, fmt.Errorf("decoding a voucher: %w at %d", ErrExpires, expires)
	}
	return Voucher{Channel: ch, Amount: market.Amount(amount)}, nil
}

// Sign signs v with the voucher key. Store the result before it leaves the node.
func (v Voucher) Sign(key ed25519.PrivateKey) Signed {
	m := v.Encode()
	return Signed{Voucher: v, Sig: [64]byte(ed25519.Sign(key, m[:]))}
}

// Verify reports whether s is strictly signed by key (see Verify, the function).
func (s Signed) Verify(key [32]byte) bool {
	m := s.Encode()
	return Verify(key, m[:], s.Sig)
}

// verify is Verify with the key of a Channel that AcceptChannel or a wallet's own open has let pass as strict.
func (s Signed) verify(key [32]byte) bool {
	m := s.Encode()
	return verifyBy(key, m[:], s.Sig)
}

// Encode returns the 50 signed bytes: 52 01, channel, final, expires_at.
func (r Release) Encode() [MessageLen]byte {
	return encodeMessage(releaseMagic0, releaseMagic1, r.Channel, uint64(r.Final), r.Expires)
}

// DecodeRelease is the inverse of Encode. Errors: ErrMalformed: length, magic, or an expiry that is not positive.
func DecodeRelease(b []byte) (r Release, err error) {
	ch, final, expires, err := decodeMessage(releaseMagic0, releaseMagic1, b)
	if err == nil && expires <= 0 {
		err = fmt.Errorf("%w: release must expire", ErrMalformed)
	}
	if err != nil {
		return r, fmt.Errorf("decoding a release: %w", err)
	}
	return Release{Channel: ch, Final: market.Amount(final), Expires: expires}, nil
}

// Sign signs r with the release key.
func (r Release) Sign(key ed25519.PrivateKey) SignedRelease {
	m := r.Encode()
	return SignedRelease{Release: r, Sig: [64]byte(ed25519.Sign(key, m[:]))}
}

// Verify reports whether s is strictly signed by key.
func (s SignedRelease) Verify(key [32]byte) bool {
	m := s.Encode()
	return Verify(key, m[:], s.Sig)
}

// Wire returns message ‖ signature, as the Release travels to the customer.
func (s SignedRelease) Wire() (b [SignedLen]byte) {
	m := s.Encode()
	copy(b[:], m[:])
	copy(b[MessageLen:], s.Sig[:])
	return b
}

// ParseRelease decodes message ‖ signature; the signature is not checked. Errors: ErrMalformed.
func ParseRelease(b []byte) (s SignedRelease, err error) {
	if len(b) != SignedLen {
		return s, fmt.Errorf("%w: signed release of %d bytes", ErrMalformed, len(b))
	}
	s.Release, err = DecodeRelease(b[:MessageLen])
	copy(s.Sig[:], b[MessageLen:])
	return s, err
}
