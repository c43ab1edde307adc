// Package rows is how the rows look that are written at each payment: fixed lists of fields in binary, small and quick.
//
// Invariants: a list only grows at its end, and a row that ends early has zeros there, so that a row of an older
// version is read as it was meant; no name of a Go field is on the disk. Rows that are written seldom are JSON
// (node/store.Row). Concurrency: values. Persistence: this is its form; testdata holds rows of each version.
// Next: tick.go, share.go, docs/adr/0010-the-till.md.
package rows

import (
	"encoding/binary"
	"errors"
	"time"
)

// ErrRow reports bytes that are no row of this kind, or of a newer version.
var ErrRow = errors.New("not a row of this version")

// version is the first byte of each row.
const version = 1

// coder goes through the fields of a row in one order, to write it or to read it.
type coder struct {
	b     []byte
	write bool
	bad   bool
}

func writer(size int) *coder { return &coder{b: append(make([]byte, 0, size), version), write: true} }

// reader reads b; a row of another version is bad from the start.
func reader(b []byte) *coder {
	if len(b) == 0 || b[0] != version {
		return &coder{bad: true}
	}
	return &coder{b: b[1:]}
}

func (c *coder) done() error {
	if c.bad {
		return ErrRow
	}
	return nil
}

// u64 is one number. Read at the row's end, it is 0: of before the field.
func (c *coder) u64(v *uint64) {
	switch {
	case c.write:
		c.b = binary.AppendUvarint(c.b, *v)
	case len(c.b) > 0 && !c.bad:
		n, size := binary.Uvarint(c.b)
		if size <= 0 {
			c.bad = true
			return
		}
		*v, c.b = n, c.b[size:]
	}
}

// num is u64 of any kind of number that is not negative.
func num[T ~uint8 | ~uint64 | ~int](c *coder, v *T) {
	n := uint64(*v)
	c.u64(&n)
	if *v = T(n); uint64(*v) != n {
		c.bad = true
	}
}

// signed is a number of either sign.
func signed[T ~int32 | ~int64](c *coder, v *T) {
	n := uint64(int64(*v)<<1) ^ uint64(int64(*v)>>63)
	c.u64(&n)
	*v = T(int64(n>>1) ^ -int64(n&1))
}

// flags are up to 64 booleans in one number.
func (c *coder) flags(all ...*bool) {
	var n uint64
	for i, f := range all {
		if *f {
			n |= 1 << i
		}
	}
	c.u64(&n)
	for i, f := range all {
		*f = n>>i&1 == 1
	}
}

// time is nanoseconds since 1970, UTC; 0 is the zero time.
func (c *coder) time(v *time.Time) {
	var n uint64
	if !v.IsZero() {
		n = uint64(v.UnixNano())
	}
	c.u64(&n)
	switch {
	case c.write:
	case n == 0:
		*v = time.Time{}
	default:
		*v = time.Unix(0, int64(n)).UTC()
	}
}

// bytes are nil where there are none.
func (c *coder) bytes(v *[]byte) {
	n := uint64(len(*v))
	c.u64(&n)
	switch {
	case c.write:
		c.b = append(c.b, *v...)
	case n > uint64(len(c.b)):
		c.bad = true
	case n == 0:
		*v = nil
	default:
		*v = append([]byte(nil), c.b[:n]...)
		c.b = c.b[n:]
	}
}

func text[T ~string](c *coder, v *T) {
	b := []byte(*v)
	c.bytes(&b)
	*v = T(b)
}

// hash is 32 bytes, nothing where all are zero.
func (c *coder) hash(v *[32]byte) {
	var b []byte
	if *v != ([32]byte{}) {
		b = v[:]
	}
	c.bytes(&b)
	switch len(b) {
	case 0:
		*v = [32]byte{}
	case 32:
		*v = [32]byte(b)
	default:
		c.bad = true
	}
}
