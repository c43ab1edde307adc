package book

import (
	"math/bits"
	"slices"

	"github.com/gpuai/gpuai/market"
)

// The index holds rows in chunks of at most chunkRows, by what they are sold for and their class. A column of a chunk
// is bit-sliced: word by word the lowest bits of all its rows, then the next ones. So a range over all rows is a few
// operations per 64 rows and bit, a chunk without a fitting row ends early, and a changed number writes its changed
// bits only.
const (
	chunkWords = 64
	chunkRows  = 64 * chunkWords
)

// part are the rows of one mint and class.
type part struct {
	mint   market.Address
	class  string
	chunks []*chunk
	free   []place // of chunks that are not full
}

// place is where a row is.
type place struct {
	c    *chunk
	slot uint16
}

// chunk is up to chunkRows rows. It grows by doubling.
type chunk struct {
	words   int // of a bitmap: 1 to chunkWords
	used    int // slots that were ever used
	live    []uint64
	count   int // live rows
	entries []*entry
	groups  []uint8
	seeds   []uint64        // of ties
	at      [colCount]uint8 // place in cols, plus one; 0: no row states it
	cols    []column
}

// grow doubles the words of every bitmap.
func (c *chunk) grow() {
	was := c.words
	c.words = max(1, 2*was)
	wider := func(old []uint64) []uint64 {
		n := 0
		if was > 0 {
			n = len(old) / was
		}
		out := make([]uint64, n*c.words)
		for i := range n {
			copy(out[i*c.words:], old[i*was:(i+1)*was])
		}
		return out
	}
	if c.live == nil {
		c.live = make([]uint64, c.words)
	} else {
		c.live = wider(c.live)
	}
	for i := range c.cols {
		c.cols[i].stated, c.cols[i].slices = wider(c.cols[i].stated), wider(c.cols[i].slices)
	}
	c.entries = append(c.entries, make([]*entry, 64*c.words-len(c.entries))...)
	c.groups = append(c.groups, make([]uint8, 64*c.words-len(c.groups))...)
	c.seeds = append(c.seeds, make([]uint64, 64*c.words-len(c.seeds))...)
}

// write changes a row's numbers from old to now; nil: all zero.
func (c *chunk) write(slot uint16, old, now *codes) {
	if old == nil {
		old = &codes{}
	}
	if now == nil {
		now = &codes{}
	}
	for w := range now.stated {
		for m := old.stated[w] | now.stated[w]; m > 0; m &= m - 1 {
			id := uint8(64*w + bits.TrailingZeros64(m))
			if old.value[id] != now.value[id] || old.has(id) != now.has(id) {
				c.flip(id, slot, old.has(id) != now.has(id), old.value[id]^now.value[id])
			}
		}
	}
}

// flip changes a row's stated bit and those of its number that are set in diff.
func (c *chunk) flip(id uint8, slot uint16, stated bool, diff uint64) {
	if c.at[id] == 0 {
		c.cols = append(c.cols, column{stated: make([]uint64, c.words)})
		c.at[id] = uint8(len(c.cols))
	}
	col := &c.cols[c.at[id]-1]
	w, bit := int(slot/64), uint64(1)<<(slot%64)
	if stated {
		col.stated[w] ^= bit
		col.states += step(col.stated[w] & bit)
	}
	if diff == 0 {
		return // where all numbers are 0 there are no slices
	}
	if need := bits.Len64(diff); need > len(col.ones) {
		col.slices = append(col.slices, make([]uint64, need*c.words-len(col.slices))...)
		col.ones = append(col.ones, make([]uint16, need-len(col.ones))...)
	}
	col.high = max(col.high, bits.Len64(diff))
	of, ones := col.slices[w:], col.ones // nothing else is read in the loop that a new row spends its time in
	for ; diff > 0; diff &= diff - 1 {
		b := bits.TrailingZeros64(diff)
		s := of[b*c.words] ^ bit
		of[b*c.words] = s
		ones[b] += uint16(step(s & bit))
	}
	for col.high > 0 && col.ones[col.high-1] == 0 {
		col.high--
	}
}

// step is what a bit that was flipped adds to the number of rows that have it.
func step(set uint64) int {
	if set > 0 {
		return 1
	}
	return -1
}

// index finds rows by what they state.
type index struct {
	parts map[market.Address]map[string]*part
}

func (x *index) part(mint market.Address, class string) *part {
	if x.parts == nil {
		x.parts = map[market.Address]map[string]*part{}
	}
	byClass := x.parts[mint]
	if byClass == nil {
		byClass = map[string]*part{}
		x.parts[mint] = byClass
	}
	p := byClass[class]
	if p == nil {
		p = &part{mint: mint, class: class}
		byClass[class] = p
	}
	return p
}

// add gives a row a place.
func (x *index) add(v *view, mint market.Address) row {
	p := x.part(mint, v.e.offer.Groups[v.group].Class)
	var at place
	if n := len(p.free); n > 0 {
		at, p.free = p.free[n-1], p.free[:n-1]
	} else {
		last := len(p.chunks) - 1
		if last < 0 || p.chunks[last].used == chunkRows {
			p.chunks, last = append(p.chunks, &chunk{}), last+1
		}
		c := p.chunks[last]
		if c.used == 64*c.words {
			c.grow()
		}
		at = place{c, uint16(c.used)}
		c.used++
	}
	c := at.c
	c.live[at.slot/64] |= 1 << (at.slot % 64)
	c.count++
	c.entries[at.slot], c.groups[at.slot], c.seeds[at.slot] = v.e, uint8(v.group), seedOf(v.e.offer.Provider[:])
	c.write(at.slot, nil, codesOf(v))
	return row{p, at, v.group}
}

// remove frees the place of a row whose numbers are old. A part without rows goes.
func (x *index) remove(r row, old *codes) {
	c := r.c
	c.write(r.slot, old, nil)
	c.live[r.slot/64] &^= 1 << (r.slot % 64)
	c.entries[r.slot] = nil
	r.part.free = append(r.part.free, r.place)
	if c.count--; c.count > 0 {
		return
	}
	p := r.part
	p.free = slices.DeleteFunc(p.free, func(at place) bool { return at.c == c })
	p.chunks = slices.DeleteFunc(p.chunks, func(o *chunk) bool { return o == c })
	if len(p.chunks) == 0 {
		if delete(x.parts[p.mint], p.class); len(x.parts[p.mint]) == 0 {
			delete(x.parts, p.mint)
		}
	}
}

// row is a group of an entry in the index, sold for its part's mint.
type row struct {
	part *part
	place
	group int
}

// change does something to an entry and keeps its rows as they are then. An offer with a critical field that this
// version does not know fits nothing, so it has no rows.
func (x *index) change(e *entry, do func()) {
	was := make([]*codes, len(e.at))
	for i, r := range e.at {
		v, _ := viewOf(e, r.group, r.part.mint, e.firstSeen)
		was[i] = codesOf(&v)
	}
	do()
	left := e.at
	e.at = make([]row, 0, len(left))
	for g := range e.offer.Groups {
		for m, mint := range e.offer.Mints {
			v, sold := viewOf(e, g, mint, e.firstSeen)
			if !sold || e.tooNew() || slices.Index(e.offer.Mints, mint) != m {
				continue
			}
			class := e.offer.Groups[g].Class
			i := slices.IndexFunc(left, func(r row) bool {
				return r.c != nil && r.group == g && r.part.mint == mint && r.part.class == class
			})
			if i < 0 {
				e.at = append(e.at, x.add(&v, mint))
				continue
			}
			left[i].c.write(left[i].slot, was[i], codesOf(&v))
			e.at = append(e.at, left[i])
			left[i].c = nil
		}
	}
	for i, r := range left {
		if r.c != nil {
			x.remove(r, was[i])
		}
	}
}
