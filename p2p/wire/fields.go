package wire

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gpuai/gpuai/market"
)

// Limits of single fields; durations and times are bounded so that no later sum overflows.
const (
	maxFields = 48
	maxMS     = 1 << 45 // a time up to year 3084, or a duration
	maxCode   = 32
	maxDetail = 256
)

func malformed(what string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(what, args...))
}

// reader copies checked values out of a message and keeps the first fault, so decoders read like the list of their
// fields.
type reader struct{ err error }

func (r *reader) fail(what string, args ...any) {
	if r.err == nil {
		r.err = malformed(what, args...)
	}
}

func (r *reader) fixed(dst, src []byte, name string) {
	if len(src) != len(dst) {
		r.fail("%s of %d bytes, want %d", name, len(src), len(dst))
		return
	}
	copy(dst, src)
}

// optional is fixed, and absent means zero.
func (r *reader) optional(dst, src []byte, name string) {
	if len(src) > 0 {
		r.fixed(dst, src, name)
	}
}

func (r *reader) time(ms uint64, name string) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	if ms > maxMS {
		r.fail("%s out of range", name)
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

func (r *reader) duration(ms uint64, name string) time.Duration {
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		r.fail("%s out of range", name)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func (r *reader) u8(v uint32, name string) uint8 {
	if v > math.MaxUint8 {
		r.fail("%s out of range", name)
	}
	return uint8(v)
}

// text refuses what could deceive or break a terminal: control, format (bidi) and invalid characters.
func (r *reader) text(s string, limit int, name string) string {
	if len(s) > limit || !printable(s) {
		r.fail("%s is longer than %d bytes or not printable", name, limit)
	}
	return s
}

func printable(s string) bool {
	for _, c := range s {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}

func (r *reader) code(s, name string) market.Code {
	if len(s) > maxCode {
		r.fail("%s of %d bytes", name, len(s))
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			r.fail("%s is not kebab-case", name)
			break
		}
	}
	return market.Code(s)
}

func (r *reader) bytes(b []byte, limit int, name string) []byte {
	if len(b) > limit {
		r.fail("%s of %d bytes, limit %d", name, len(b), limit)
	}
	if len(b) == 0 {
		return nil
	}
	return b
}

func (r *reader) devices(in [][]byte, atLeast int) []market.DeviceID {
	if len(in) < atLeast || len(in) > market.MaxDevices {
		r.fail("%d devices", len(in))
		return nil
	}
	var out []market.DeviceID
	for _, b := range in {
		var d market.DeviceID
		r.fixed(d[:], b, "device id")
		if slices.Contains(out, d) {
			r.fail("device %s twice", d)
		}
		out = append(out, d)
	}
	return out
}

func (r *reader) fields(ids []uint32, values []uint64) market.Fields {
	if len(ids) != len(values) || len(ids) > maxFields {
		r.fail("%d fields with %d values", len(ids), len(values))
		return nil
	}
	var out market.Fields
	for i, id := range ids {
		if id == 0 || id > math.MaxUint8 || i > 0 && id <= ids[i-1] {
			r.fail("field ids do not ascend within 1 to 255")
			return nil
		}
		if out == nil {
			out = make(market.Fields, len(ids))
		}
		out[market.FieldID(id)] = values[i]
	}
	return out
}

func (r *reader) rate(v uint64) market.Rate {
	if v > uint64(market.MaxRate) || !fourDigits(v) {
		r.fail("rate %d: above the limit or more than 4 significant digits", v)
	}
	return market.Rate(v)
}

// fourDigits keeps rates from undercutting each other by one unit.
func fourDigits(v uint64) bool {
	for v >= 10_000 {
		if v%10 != 0 {
			return false
		}
		v /= 10
	}
	return true
}

func packFields(f market.Fields) (ids []uint32, values []uint64) {
	for id := range f {
		ids = append(ids, uint32(id))
	}
	slices.Sort(ids)
	for _, id := range ids {
		values = append(values, f[market.FieldID(id)])
	}
	return ids, values
}

func packDevices(in []market.DeviceID) [][]byte {
	out := make([][]byte, len(in))
	for i := range in {
		out[i] = in[i][:]
	}
	return out
}

// ms writes a time; one before 1970 becomes "none".
func ms(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(t.UnixMilli(), 0))
}

func durMS(d time.Duration) uint64 { return uint64(max(d.Milliseconds(), 0)) }

// absent drops all-zero optional values from the wire.
func absent(b []byte) []byte {
	for _, c := range b {
		if c != 0 {
			return b
		}
	}
	return nil
}

// clean makes a text of ours sendable: an error's line breaks must not keep a Decision from its customer.
func clean(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, s)
	for i := limit; len(s) > limit; i-- {
		if utf8.RuneStart(s[i]) {
			s = s[:i]
		}
	}
	return s
}
