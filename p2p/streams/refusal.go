package streams

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
)

// Bounds of a Refusal on the wire. A peer may name no longer wait than maxRetry.
const (
	maxCode   = 32
	maxDetail = 256
	maxRetry  = 24 * time.Hour
)

// Protobuf field numbers of a Refusal: append-only. They are coded by hand, the message is too small for a generator.
const (
	refusalCode = iota + 1
	refusalKind
	refusalRetryMS
	refusalDetail
)

// Protobuf wire types.
const (
	wireVarint = 0
	wireFixed8 = 1
	wireBytes  = 2
	wireFixed4 = 5
)

var errRefusal = errors.New("malformed refusal")

// refusal is encodeRefusal for one that is sent.
func (s *Service) refusal(err error) []byte {
	b := encodeRefusal(err)
	s.host.Tally(p2p.CountRefusals, string(market.CodeOf(decodeRefusal(b))), 1)
	return b
}

// encodeRefusal turns any error into what a peer may see: a Refusal within its bounds, anything else as "internal"
// without text.
func encodeRefusal(err error) []byte {
	var r *market.Refusal
	if !errors.As(err, &r) || !isCode(r.Code) {
		r = &market.Refusal{Code: market.CodeInternal, Kind: market.KindInternal}
	}
	var b []byte
	text := func(field uint64, s string) {
		if s != "" {
			b = binary.AppendUvarint(b, field<<3|wireBytes)
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	number := func(field, v uint64) {
		if v != 0 {
			b = binary.AppendUvarint(binary.AppendUvarint(b, field<<3|wireVarint), v)
		}
	}
	text(refusalCode, string(r.Code))
	number(refusalKind, uint64(r.Kind))
	number(refusalRetryMS, uint64(max(r.RetryAfter, 0).Milliseconds()))
	text(refusalDetail, clean(r.Detail))
	return b
}

// decodeRefusal returns what a peer said as *market.Refusal, or another error if it is none. Unknown fields are
// skipped.
func decodeRefusal(b []byte) error {
	r := &market.Refusal{Kind: market.KindInternal}
	for len(b) > 0 {
		tag, v, data, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		switch tag {
		case refusalCode<<3 | wireBytes:
			r.Code = market.Code(data)
		case refusalKind<<3 | wireVarint:
			if v >= uint64(market.KindInternal) && v <= math.MaxUint8 {
				r.Kind = market.Kind(v)
			}
		case refusalRetryMS<<3 | wireVarint:
			r.RetryAfter = time.Duration(min(v, uint64(maxRetry.Milliseconds()))) * time.Millisecond
		case refusalDetail<<3 | wireBytes:
			r.Detail = clean(string(data))
		}
	}
	if !isCode(r.Code) {
		return fmt.Errorf("%w: code of %d bytes is no word", errRefusal, len(r.Code))
	}
	return r
}

// nextField splits the first protobuf field off: v for varints, data for bytes; fixed ones are only skipped.
func nextField(b []byte) (tag, v uint64, data, rest []byte, err error) {
	uvarint := func() (x uint64) {
		x, n := binary.Uvarint(b)
		if n <= 0 {
			err = errRefusal
			return 0
		}
		b = b[n:]
		return x
	}
	skip := func(n uint64) []byte {
		if err != nil || n > uint64(len(b)) {
			err = errRefusal
			return nil
		}
		data := b[:n]
		b = b[n:]
		return data
	}
	tag = uvarint()
	switch tag & 7 {
	case wireVarint:
		v = uvarint()
	case wireBytes:
		data = skip(uvarint())
	case wireFixed8:
		skip(8)
	case wireFixed4:
		skip(4)
	default:
		err = errRefusal
	}
	return tag, v, data, b, err
}

func isCode(s market.Code) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxCode
}

// clean drops what could deceive or break a terminal (control, format and invalid characters) and cuts to 256 bytes at
// a character.
func clean(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			continue
		}
		if b.Len()+utf8.RuneLen(c) > maxDetail {
			break
		}
		b.WriteRune(c)
	}
	return b.String()
}
