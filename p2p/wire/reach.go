package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
)

// Reachable reports whether an address has a form that a reach may have: an IP with QUIC or TCP, on port 443 or one
// above 1023, alone or through a relay. Names are refused, since whoever owns one aims it anywhere later.
func Reachable(a ma.Multiaddr) bool {
	var form string
	port := 0
	for _, c := range a {
		if form += "/" + c.Protocol().Name; c.Protocol().Code == ma.P_UDP || c.Protocol().Code == ma.P_TCP {
			port, _ = strconv.Atoi(c.Value()) // a decimal below 65,536, or the address is none
		}
	}
	form, _ = strings.CutSuffix(form, "/p2p/p2p-circuit")
	switch form {
	case "/ip4/udp/quic-v1", "/ip6/udp/quic-v1", "/ip4/tcp", "/ip6/tcp":
		return port == 443 || port >= 1024
	}
	return false
}

// packReach writes addresses as u8 length + binary multiaddress each.
func packReach(reach []string) ([]byte, error) {
	if len(reach) > MaxReach {
		return nil, fmt.Errorf("%w: %d addresses, limit %d", ErrMalformed, len(reach), MaxReach)
	}
	var out []byte
	for _, s := range reach {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("%w: address %q: %w", ErrMalformed, s, err)
		}
		if !Reachable(a) {
			return nil, fmt.Errorf("%w: address %q", ErrMalformed, s)
		}
		b := a.Bytes()
		if len(b) == 0 || len(b) > 255 {
			return nil, fmt.Errorf("%w: address of %d bytes", ErrMalformed, len(b))
		}
		out = append(append(out, byte(len(b))), b...)
	}
	if len(out) > MaxReachBytes {
		return nil, fmt.Errorf("%w: reach of %d bytes, limit %d", ErrTooLarge, len(out), MaxReachBytes)
	}
	return out, nil
}

// unpackReach is packReach's inverse; it refuses what packReach would not write, so an envelope has one byte form.
func unpackReach(b []byte) ([]string, error) {
	if len(b) > MaxReachBytes {
		return nil, fmt.Errorf("%w: reach of %d bytes", ErrTooLarge, len(b))
	}
	var out []string
	for rest := b; len(rest) > 0; {
		n := int(rest[0])
		if n == 0 || n >= len(rest) || len(out) == MaxReach {
			return nil, fmt.Errorf("%w: reach", ErrMalformed)
		}
		a, err := ma.NewMultiaddrBytes(rest[1 : 1+n])
		if err != nil {
			return nil, fmt.Errorf("%w: reach: %w", ErrMalformed, err)
		}
		if !Reachable(a) {
			return nil, fmt.Errorf("%w: reach: address %q", ErrMalformed, a)
		}
		out, rest = append(out, a.String()), rest[1+n:]
	}
	return out, nil
}

// reachHash binds a reach to the body of its Offer or Want, which an indexer can so show without IP addresses. No
// addresses: the hash of nothing.
func reachHash(packed []byte) []byte {
	h := sha256.Sum256(append([]byte("gpuai/reach/1\x00"), packed...))
	return h[:16]
}

// WithoutReach is an envelope that was parsed, without the addresses behind its body: signature and id stay good.
func WithoutReach(raw []byte) []byte {
	return slices.Clone(raw[:overhead+int(binary.BigEndian.Uint32(raw[2:]))])
}
