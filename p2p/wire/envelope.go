package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gpuai/gpuai/market"
)

// Kind is the kind of a document, on the wire: append-only.
type Kind uint8

// Document kinds.
const (
	KindOffer Kind = iota + 1
	KindWant
	KindOrder
	KindQuote
	KindLease
	KindDecision
	KindReceipt
	KindStop
	KindOutcome
	KindParams
	KindAmend
)

// kinds holds per kind the word inside signatures and ids, and the largest envelope in bytes.
var kinds = [...]struct {
	word string
	max  int
}{
	KindOffer: {"offer", MaxOffer}, KindWant: {"want", MaxWant}, KindOrder: {"order", MaxOrder},
	KindQuote: {"quote", 4 << 10},
	KindLease: {"lease", MaxLease}, KindDecision: {"decision", 1 << 10}, KindReceipt: {"receipt", 768},
	KindStop:    {"stop", 512},
	KindOutcome: {"outcome", 1 << 10}, KindParams: {"params", 4 << 10}, KindAmend: {"amend", 512},
}

// Largest envelopes in bytes, and the reach behind an Offer or a Want.
const (
	MaxOffer      = 4096
	MaxWant       = 1024
	MaxOrder      = 8 << 10
	MaxLease      = 64 << 10
	MaxReach      = 4   // addresses
	MaxReachBytes = 256 // all addresses with their length bytes
	headerSize    = 6
	overhead      = headerSize + ed25519.PublicKeySize + ed25519.SignatureSize
	format        = 1
)

// Errors of Open. ErrNewer: format or kind of a newer version, not to be blamed on the sender. ErrTooLarge,
// ErrMalformed: never valid.
// ErrSignature: signature or key is bad, or made for another network.
var (
	ErrNewer     = errors.New("document of a newer version")
	ErrTooLarge  = errors.New("document too large")
	ErrMalformed = errors.New("malformed document")
	ErrSignature = errors.New("bad signature")
)

// String returns the kind's word, "offer".
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kinds) {
		return fmt.Sprintf("kind-%d", uint8(k))
	}
	return kinds[k].word
}

// MaxSize is the largest envelope of the kind in bytes; 0 for an unknown kind.
func (k Kind) MaxSize() int {
	if int(k) >= len(kinds) {
		return 0
	}
	return kinds[k].max
}

// Envelope is a parsed document. Body, Reach and Sig share no memory with the input. Reach holds multiaddresses as
// text.
type Envelope struct {
	Kind   Kind
	Signer market.NodeID
	Body   []byte
	Reach  []string
	ID     market.DocID
	Sig    [64]byte
}

// Seal signs a body. reach is for Offers and Wants only: ≤ 4 multiaddresses, ≤ 256 bytes in all; the body must bind it
// (SealOffer does).
// Errors: ErrMalformed: unknown kind, bad key or reach; ErrTooLarge.
func Seal(key ed25519.PrivateKey, network string, kind Kind, body []byte, reach []string) ([]byte, error) {
	if kind == 0 || kind.MaxSize() == 0 || len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("seal %s: %w: kind or key", kind, ErrMalformed)
	}
	tail, err := packReach(reach)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", kind, err)
	}
	if len(tail) > 0 && kind != KindOffer && kind != KindWant {
		return nil, fmt.Errorf("seal %s: %w: reach on this kind", kind, ErrMalformed)
	}
	if overhead+len(body)+len(tail) > kind.MaxSize() {
		return nil, fmt.Errorf("seal %s: %w: %d bytes, limit %d", kind, ErrTooLarge, overhead+len(body)+len(tail),
			kind.MaxSize())
	}
	out := make([]byte, 0, overhead+len(body)+len(tail))
	out = append(out, format, byte(kind))
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	out = append(out, key[ed25519.SeedSize:]...)
	out = append(out, ed25519.Sign(key, signed(kind, network, nil, body))...)
	out = append(out, body...)
	return append(out, tail...), nil
}

// signed is what signature (signer nil) and id (with signer) cover.
func signed(kind Kind, network string, signer, body []byte) []byte {
	b := make([]byte, 0, 16+len(kind.String())+len(network)+len(signer)+len(body))
	b = append(b, "gpuai/"+kind.String()+"/1\x00"...)
	b = append(b, network...)
	b = append(b, 0)
	b = append(b, signer...)
	return append(b, body...)
}

// DocIDOf returns the document id of a body. The signer is inside: a copied body under another key has another id.
func DocIDOf(network string, kind Kind, signer market.NodeID, body []byte) (id market.DocID) {
	h := sha256.Sum256(signed(kind, network, signer[:], body))
	copy(id[:], h[:])
	return id
}

// Parse reads an envelope without verifying its signature: validators pay for the signature last. Errors: ErrNewer,
// ErrTooLarge, ErrMalformed.
func Parse(raw []byte, network string) (Envelope, error) {
	var e Envelope
	if len(raw) > MaxLease {
		return e, fmt.Errorf("open: %w: %d bytes", ErrTooLarge, len(raw))
	}
	if len(raw) < 2 {
		return e, fmt.Errorf("open: %w: %d bytes", ErrMalformed, len(raw))
	}
	e.Kind = Kind(raw[1])
	if raw[0] != format || e.Kind == 0 || e.Kind.MaxSize() == 0 {
		return e, fmt.Errorf("open: %w: format %d, %s", ErrNewer, raw[0], e.Kind)
	}
	if len(raw) > e.Kind.MaxSize() {
		return e, fmt.Errorf("open %s: %w: %d bytes, limit %d", e.Kind, ErrTooLarge, len(raw), e.Kind.MaxSize())
	}
	if len(raw) < overhead {
		return e, fmt.Errorf("open %s: %w: cut at %d bytes", e.Kind, ErrMalformed, len(raw))
	}
	n := binary.BigEndian.Uint32(raw[2:])
	copy(e.Signer[:], raw[headerSize:])
	copy(e.Sig[:], raw[headerSize+len(e.Signer):])
	rest := raw[overhead:]
	if uint64(n) > uint64(len(rest)) {
		return e, fmt.Errorf("open %s: %w: body cut", e.Kind, ErrMalformed)
	}
	e.Body = append([]byte{}, rest[:n]...)
	tail := rest[n:]
	if len(tail) > 0 && e.Kind != KindOffer && e.Kind != KindWant {
		return e, fmt.Errorf("open %s: %w: %d bytes behind the body", e.Kind, ErrMalformed, len(tail))
	}
	var err error
	if e.Reach, err = unpackReach(tail); err != nil {
		return e, fmt.Errorf("open %s: %w", e.Kind, err)
	}
	e.ID = DocIDOf(network, e.Kind, e.Signer, e.Body)
	return e, nil
}

// Verify checks the signature for a network. Errors: ErrSignature, also for small-order keys, with which one signature
// fits any body.
func (e Envelope) Verify(network string) error {
	if smallOrder(e.Signer) || !ed25519.Verify(e.Signer[:], signed(e.Kind, network, nil, e.Body), e.Sig[:]) {
		return fmt.Errorf("open %s of %s: %w", e.Kind, e.Signer, ErrSignature)
	}
	return nil
}

// Open parses and verifies an envelope. Errors: those of Parse, ErrSignature.
func Open(raw []byte, network string) (Envelope, error) {
	e, err := Parse(raw, network)
	if err == nil {
		err = e.Verify(network)
	}
	if err != nil {
		return Envelope{}, err
	}
	return e, nil
}
