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
	var buf bitmap
	more := buf[:len(m)] // rows that are above x by the bits so far; m: those that are equal
	low := bits.TrailingZeros64(x)
	for b := len(col.slices)/c.words - 1; b >= low; b-- {
		s := col.slices[b*c.words:][:len(m)]
		if x>>b&1 > 0 {
			for i := range m {
				m[i] &= s[i]
			}
			continue
		}
		for i := range m {
			more[i] |= m[i] & s[i]
			m[i] &^= s[i]
		}
	}
	for i := range m {
		m[i] |= more[i]
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
	for b := range len(col.slices) / c.words {
		s := col.slices[b*c.words:][:len(m)]
		if x>>b&1 > 0 {
			for i := range m {
				m[i] &= s[i]
			}
		} else {
			for i := range m {
				m[i] &^= s[i]
			}
		}
	}
}

func count(m []uint64) (n int) {
	for _, w := range m {
		n += bits.OnesCount64(w)
	}
	return n
}
