package book

import "math/bits"

// bitmap is a set of rows of one chunk.
type bitmap [chunkWords]uint64

// column is one number of each row of a chunk. slices[b*words:] is the bitmap of bit b, which ones[b] rows have: where
// none or all have it, nobody reads the bitmap.
type column struct {
	stated []uint64
	slices []uint64
	ones   []uint16
	states int // rows that state it
	high   int // bits of the largest number
}

// same says what a bit is of all live rows: known only if all have it or none has.
func (c *chunk) same(col *column, b int) (set, known bool) {
	n := int(col.ones[b])
	return n > 0, n == 0 || n == c.count
}

func (c *chunk) col(id uint8) *column {
	if i := c.at[id]; i > 0 {
		return &c.cols[i-1]
	}
	return nil
}

// value is a row's number, and whether it states one.
func (c *chunk) value(id uint8, slot int) (x uint64, stated bool) {
	col := c.col(id)
	if col == nil {
		return 0, false
	}
	w, bit := slot/64, slot%64
	for b, at := 0, w; at < len(col.slices); b, at = b+1, at+c.words {
		x |= col.slices[at] >> bit & 1 << b
	}
	return x, col.stated[w]>>bit&1 > 0
}

// atLeast drops the rows of m, all live, whose number is below x.
func (c *chunk) atLeast(id uint8, x uint64, m []uint64) {
	if x == 0 {
		return
	}
	col := c.col(id)
	if col == nil || bits.Len64(x) > col.high {
		clear(m)
		return
	}
	low, n := bits.TrailingZeros64(x), 0
	var differ [64]uint8 // bits that are read, highest first
	for b := col.high - 1; b >= low; b-- {
		set, known := c.same(col, b)
		if known && set == (x>>b&1 > 0) {
			continue
		}
		if known && !set { // below x in the first bit that differs, if in no bit before
			c.above(col, x, differ[:n], m, false)
			return
		}
		if known {
			c.above(col, x, differ[:n], m, true)
			return
		}
		differ[n] = uint8(b)
		n++
	}
	c.above(col, x, differ[:n], m, true)
}

// above drops the rows of m whose number is below x by the given bits, and those that are equal by them unless equals.
func (c *chunk) above(col *column, x uint64, differ []uint8, m []uint64, equals bool) {
	for i, equal := range m { // rows that are equal to x by the bits so far; soon there are none
		above := uint64(0)
		for _, b := range differ {
			if equal == 0 {
				break
			}
			s := col.slices[int(b)*c.words+i]
			if x>>b&1 > 0 {
				equal &= s
			} else {
				above |= equal & s
				equal &^= s
			}
		}
		if equals {
			above |= equal
		}
		m[i] = above
	}
}

// atMost drops the rows of m whose number is above x.
func (c *chunk) atMost(id uint8, x uint64, m []uint64) {
	if x == 1<<64-1 {
		return
	}
	var buf bitmap
	above := buf[:len(m)]
	copy(above, m)
	c.atLeast(id, x+1, above)
	for i := range m {
		m[i] &^= above[i]
	}
}

// equal drops the rows of m, all live, whose number is not x.
func (c *chunk) equal(id uint8, x uint64, m []uint64) {
	col := c.col(id)
	if col == nil || bits.Len64(x) > col.high {
		clear(m)
		return
	}
	n := 0
	var differ [64]uint8
	for b := col.high - 1; b >= 0; b-- {
		set, known := c.same(col, b)
		if known && set != (x>>b&1 > 0) {
			clear(m)
			return
		}
		if !known {
			differ[n] = uint8(b)
			n++
		}
	}
	for i, equal := range m {
		for _, b := range differ[:n] {
			if equal == 0 {
				break
			}
			equal &= col.slices[int(b)*c.words+i] ^ (x>>b&1 - 1)
		}
		m[i] = equal
	}
}

func count(m []uint64) (n int) {
	for _, w := range m {
		n += bits.OnesCount64(w)
	}
	return n
}
