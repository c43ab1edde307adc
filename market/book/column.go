package book

import "math/bits"

// bitmap is a set of rows of one chunk.
type bitmap [chunkWords]uint64

// column is one number of each row of a chunk. slices[b*words:] is the bitmap of bit b.
type column struct {
	stated []uint64
	slices []uint64
}

func (c *chunk) col(id uint8) *column {
	if i := c.at[id]; i > 0 {
		return &c.cols[i-1]
	}
	return nil
}

// atLeast drops the rows of m whose number is below x.
func (c *chunk) atLeast(id uint8, x uint64, m []uint64) {
	if x == 0 {
		return
	}
	col := c.col(id)
	if col == nil || bits.Len64(x) > len(col.slices)/c.words {
		clear(m)
		return
	}
	low, top := bits.TrailingZeros64(x), len(col.slices)/c.words
	for i, equal := range m { // rows that are equal to x by the bits so far; soon there are none
		above := uint64(0)
		for b, at := top-1, (top-1)*c.words+i; b >= low && equal > 0; b, at = b-1, at-c.words {
			s := col.slices[at]
			if x>>b&1 > 0 {
				equal &= s
			} else {
				above |= equal & s
				equal &^= s
			}
		}
		m[i] = above | equal
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

// equal drops the rows of m whose number is not x.
func (c *chunk) equal(id uint8, x uint64, m []uint64) {
	col := c.col(id)
	if col == nil || bits.Len64(x) > len(col.slices)/c.words {
		clear(m)
		return
	}
	top := len(col.slices) / c.words
	for i, equal := range m {
		for b, at := top-1, (top-1)*c.words+i; b >= 0 && equal > 0; b, at = b-1, at-c.words {
			s := col.slices[at]
			if x>>b&1 == 0 {
				s = ^s
			}
			equal &= s
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
