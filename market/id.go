package market

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// ErrFormat reports text that is not an id, address or number of the wanted form.
var ErrFormat = errors.New("bad format")

var hexLower = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// LeaseID is the document id of a Lease. Text: "lease_" + 26 characters of lower-case base32hex.
type LeaseID [16]byte

// OrderID is the nonce of an Order, the user's handle; it survives re-signing. Text: "order_" + 26 base32hex
// characters.
type OrderID [16]byte

// DocID is the first 16 bytes of the SHA-256 over domain, network, signer and body of a document (p2p/wire).
type DocID [16]byte

// DeviceID is SHA-256("gpuai/device/1" 00 UUID text) cut to 16 bytes; it hides the UUID but is stable.
type DeviceID [16]byte

// NodeID is the raw Ed25519 public key of a node. Text: the libp2p peer id, "12D3KooW…".
type NodeID [32]byte

// Address is a Solana address. Text: base58.
type Address [32]byte

// ChannelID is the address of a Channel's account. Text: base58.
type ChannelID [32]byte

func (id LeaseID) String() string               { return "lease_" + hexLower.EncodeToString(id[:]) }
func (id LeaseID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses the text form. Errors: ErrFormat.
func (id *LeaseID) UnmarshalText(b []byte) (err error) { *id, err = ParseLeaseID(string(b)); return }

func (id OrderID) String() string               { return "order_" + hexLower.EncodeToString(id[:]) }
func (id OrderID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses the text form. Errors: ErrFormat.
func (id *OrderID) UnmarshalText(b []byte) (err error) { *id, err = ParseOrderID(string(b)); return }

func (id DeviceID) String() string               { return "device_" + hexLower.EncodeToString(id[:]) }
func (id DeviceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }
func (id DocID) String() string                  { return hexLower.EncodeToString(id[:]) }

// UnmarshalText parses the text form. Errors: ErrFormat.
func (id *DeviceID) UnmarshalText(b []byte) (err error) {
	*id, err = parseID("device_", string(b))
	return err
}

func parseID(prefix, s string) (out [16]byte, err error) {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || len(rest) != 26 {
		return out, fmt.Errorf("%w: want %s and 26 characters", ErrFormat, prefix)
	}
	b, err := hexLower.DecodeString(rest)
	if err != nil || len(b) != 16 || hexLower.EncodeToString(b) != rest { // the last character has two spare bits
		return out, fmt.Errorf("%w: %s is not base32hex", ErrFormat, rest)
	}
	copy(out[:], b)
	return out, nil
}

// ParseLeaseID parses "lease_…". Errors: ErrFormat.
func ParseLeaseID(s string) (LeaseID, error) { b, err := parseID("lease_", s); return b, err }

// ParseOrderID parses "order_…". Errors: ErrFormat.
func ParseOrderID(s string) (OrderID, error) { b, err := parseID("order_", s); return b, err }

// DeviceIDOf returns the public id of a device UUID.
func DeviceIDOf(uuid string) (id DeviceID) {
	h := sha256.Sum256([]byte("gpuai/device/1\x00" + uuid))
	copy(id[:], h[:])
	return id
}

// peerPrefix is libp2p's identity multihash of an Ed25519 public key: protobuf {type 1, data 32 bytes} behind 00 24.
var peerPrefix = []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}

func (id NodeID) String() string               { return Base58(append(peerPrefix[:6:6], id[:]...)) }
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// Short returns the last 8 characters of the text form, as used in container names.
func (id NodeID) Short() string { s := id.String(); return s[len(s)-8:] }

// UnmarshalText parses the text form. Errors: ErrFormat.
func (id *NodeID) UnmarshalText(b []byte) (err error) { *id, err = ParseNodeID(string(b)); return }

// ParseNodeID parses a libp2p peer id of an Ed25519 key. Errors: ErrFormat.
func ParseNodeID(s string) (id NodeID, err error) {
	b, err := ParseBase58(s, 38)
	if err != nil || string(b[:6]) != string(peerPrefix) {
		return id, fmt.Errorf("%w: %q is no Ed25519 peer id", ErrFormat, s)
	}
	copy(id[:], b[6:])
	return id, nil
}

func (a Address) String() string                 { return Base58(a[:]) }
func (a Address) MarshalText() ([]byte, error)   { return []byte(a.String()), nil }
func (c ChannelID) String() string               { return Base58(c[:]) }
func (c ChannelID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText parses base58 of 32 bytes. Errors: ErrFormat.
func (a *Address) UnmarshalText(b []byte) (err error) { *a, err = ParseAddress(string(b)); return }

// UnmarshalText parses base58 of 32 bytes. Errors: ErrFormat.
func (c *ChannelID) UnmarshalText(b []byte) error {
	a, err := ParseAddress(string(b))
	*c = ChannelID(a)
	return err
}

// ParseAddress parses base58 of exactly 32 bytes. Errors: ErrFormat.
func ParseAddress(s string) (a Address, err error) {
	b, err := ParseBase58(s, 32)
	if err != nil {
		return a, err
	}
	copy(a[:], b)
	return a, nil
}

const alphabet58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// digits58 are taken at once: 58^10 fits 64 bits, and a division of many bytes is what costs.
const (
	digits58 = 10
	power58  = 430_804_206_899_405_824 // 58^10
)

// Base58 encodes b in Bitcoin's alphabet; leading zero bytes become '1'.
func Base58(b []byte) string {
	n, m, power := new(big.Int).SetBytes(b), new(big.Int), big.NewInt(power58)
	out := make([]byte, 0, 2*len(b))
	for n.Sign() > 0 {
		n.DivMod(n, power, m)
		v := m.Uint64()
		for i := 0; i < digits58 && (v > 0 || n.Sign() > 0); i++ {
			out = append(out, alphabet58[v%58])
			v /= 58
		}
	}
	for i := 0; i < len(b) && b[i] == 0; i++ {
		out = append(out, '1')
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}

// ParseBase58 decodes exactly size bytes. Errors: ErrFormat: a foreign character, or another length.
func ParseBase58(s string, size int) ([]byte, error) {
	if len(s) > 2*size {
		return nil, fmt.Errorf("%w: base58 text too long", ErrFormat)
	}
	n, base := new(big.Int), big.NewInt(58)
	zeros, lead := 0, true
	for i := range len(s) {
		v := strings.IndexByte(alphabet58, s[i])
		if v < 0 {
			return nil, fmt.Errorf("%w: %q is no base58 character", ErrFormat, s[i])
		}
		if lead = lead && v == 0; lead {
			zeros++
		}
		n.Add(n.Mul(n, base), big.NewInt(int64(v)))
	}
	b := append(make([]byte, zeros), n.Bytes()...)
	if len(b) != size {
		return nil, fmt.Errorf("%w: base58 holds %d bytes, want %d", ErrFormat, len(b), size)
	}
	return b, nil
}
