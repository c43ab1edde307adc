package book

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
)

// hit is a chunk with rows that fit.
type hit struct {
	c    *chunk
	set  []uint64 // those that may be among the best
	rows int      // of set
	sure []uint64 // those that are; nil: none
}

// picker finds the best rows of one query.
type picker struct {
	s      *scan
	now    time.Time
	n      int // how many are wanted
	enough int
	often  int                 // see again
	conds  []*condition        // those that columns decide, the most selective first
	drop   map[*chunk][]uint16 // rows that no column rules out: expired, hidden, excluded
	sort   sorting
	hits   []hit
	total  int    // rows of hits
	bound  []mark // a row that is beyond it comes after n others
	tie    uint64 // of the rows that equal all marks, those above it are beyond, too
	again  int    // so many rows are worth a closer bound
	good   []int  // see split
}

// pick returns at least the best n rows that fit, in no order, and whether those are all that fit.
func (b *Book) pick(s *scan, n int, now time.Time) (rows []row, all bool) {
	p := &picker{s: s, now: now, n: n, enough: b.enough, sort: sortingOf(s.q.Sort), often: b.often, again: b.often * n}
	b.dropped(p)
	var parts []*part
	for class, part := range b.index.parts[s.q.Mint] {
		if p.fitsClass(class) {
			parts = append(parts, part)
		}
	}
	p.order(parts)
	for _, part := range parts {
		for _, c := range part.chunks {
			p.look(c)
		}
	}
	all = p.total <= n && len(p.bound) == 0
	if p.total > n {
		p.narrow(n, p.total)
	}
	for _, h := range p.hits {
		for w := range h.set {
			m := h.set[w]
			if h.sure != nil {
				m |= h.sure[w]
			}
			for ; m > 0; m &= m - 1 {
				slot := 64*w + bits.TrailingZeros64(m)
				rows = append(rows, row{place: place{h.c, uint16(slot)}, group: int(h.c.groups[slot])})
			}
		}
	}
	return rows, all
}

// order collects what a row must fulfil, the most selective for its work first: soon most words of a bitmap are empty,
// and what comes later passes over them. It tries each condition on one chunk.
func (p *picker) order(parts []*part) {
	var sample *chunk
	for _, part := range parts {
		for _, c := range part.chunks {
			if sample == nil || c.count > sample.count {
				sample = c
			}
		}
	}
	if sample == nil {
		return
	}
	gain := map[*condition]float64{}
	for i := range p.s.conds {
		cond := &p.s.conds[i]
		if work := cond.work(); work > 0 {
			var buf bitmap
			m := buf[:sample.words]
			copy(m, sample.live)
			p.keep(sample, cond, m)
			gain[cond] = float64(sample.count-count(m)) / float64(work)
			p.conds = append(p.conds, cond)
		}
	}
	slices.SortStableFunc(p.conds, func(a, b *condition) int { return cmp.Compare(gain[b], gain[a]) })
}

// work is how many looks at a column a condition takes; 0: no column decides it.
func (c *condition) work() int {
	switch {
	case c.kind == condFree || c.kind == condRate:
		return 1
	case c.kind != condTerm:
		return 0
	case c.term.HasHi && c.term.Lo > 0 && c.term.Lo < c.term.Hi:
		return 2
	}
	return max(1, len(c.term.In))
}

// dropped collects the rows that a query rules out one by one.
func (b *Book) dropped(p *picker) {
	p.drop = map[*chunk][]uint16{}
	add := func(e *entry) {
		for _, r := range e.at {
			p.drop[r.c] = append(p.drop[r.c], r.slot)
		}
	}
	b.expiry.each(p.now, add)
	for e := range b.hidden {
		if e.hidden.After(p.now) {
			add(e)
		}
	}
	if p.s.q.Direct {
		for e := range b.relayed {
			if e.relayed.After(p.now) {
				add(e)
			}
		}
	}
	for _, id := range p.s.q.Exclude {
		if e := b.byProvider[id]; e != nil {
			add(e)
		}
	}
}

func (p *picker) fitsClass(class string) bool {
	for i := range p.s.conds {
		if c := &p.s.conds[i]; c.kind == condClass && !c.term.FitsClass(class) {
			return false
		}
	}
	return true
}

// look keeps a chunk if a row of it fits.
func (p *picker) look(c *chunk) {
	var buf bitmap
	m := buf[:c.words]
	copy(m, c.live)
	for _, slot := range p.drop[c] {
		m[slot/64] &^= 1 << (slot % 64)
	}
	if len(p.bound) > 0 && !p.within(c, m) {
		return
	}
	for _, cond := range p.conds {
		if !p.keep(c, cond, m) {
			return
		}
	}
	h := hit{c: c, set: slices.Clone(m), rows: count(m)}
	p.hits = append(p.hits, h)
	if p.total += h.rows; p.total >= p.again {
		p.tighten()
	}
}

// keep drops the rows of m that fail a condition, and reports whether one is left.
func (p *picker) keep(c *chunk, cond *condition, m []uint64) bool {
	q := &p.s.q
	switch cond.kind {
	case condFree:
		col := colOf[market.FieldFree]
		if q.Rented {
			col = colSize // what is free is of a group's devices
		}
		c.atLeast(col, uint64(q.Devices), m)
	case condTerm:
		p.term(c, &cond.term, m)
	case condRate:
		c.atMost(colOf[market.FieldRate], uint64(q.MaxRate), m)
	default:
		return true // by the part, or row by row
	}
	return slices.ContainsFunc(m, func(w uint64) bool { return w > 0 })
}

// term drops the rows of m that fail a term.
func (p *picker) term(c *chunk, t *market.Term, m []uint64) {
	id := colOf[t.Field]
	col := c.col(id)
	info, known := t.Field.Info()
	if id == 0 || !known || col == nil {
		clear(m)
		return
	}
	for i := range m {
		m[i] &= col.stated[i]
	}
	var buf bitmap
	in := buf[:len(m)]
	copy(in, m)
	since := t.Field == market.FieldKnown
	switch {
	case len(t.In) > 0:
		p.among(c, t, info.Bits, m, in)
	case since:
		p.knownFor(c, t, in)
	case t.HasHi && t.Hi == t.Lo:
		c.equal(id, t.Lo, in)
	default:
		c.atLeast(id, t.Lo, in)
		if t.HasHi {
			c.atMost(id, t.Hi, in)
		}
	}
	for i := range m {
		if t.Not {
			m[i] &^= in[i]
		} else {
			m[i] = in[i]
		}
	}
}

// among sets in to the rows of m that have one of the term's values, or one of their bits.
func (p *picker) among(c *chunk, t *market.Term, anyBit bool, m, in []uint64) {
	clear(in)
	var buf bitmap
	one := buf[:len(m)]
	id := colOf[t.Field]
	for _, x := range t.In {
		copy(one, m)
		if t.Field == market.FieldKnown {
			if now := sinceCode(p.now); x <= now {
				c.equal(id, now-x, one)
			} else {
				clear(one)
			}
		} else {
			c.equal(id, x, one)
		}
		for i := range in {
			in[i] |= one[i]
		}
		col := c.col(id)
		for b := 0; anyBit && b*c.words < len(col.slices); b++ {
			if x>>b&1 > 0 {
				for i, s := range col.slices[b*c.words : (b+1)*c.words] {
					in[i] |= m[i] & s
				}
			}
		}
	}
}

// knownFor is a range of the time that a provider is known: its column says since when.
func (p *picker) knownFor(c *chunk, t *market.Term, in []uint64) {
	id, now := colOf[market.FieldKnown], sinceCode(p.now)
	if t.Lo > now {
		clear(in)
		return
	}
	c.atMost(id, now-t.Lo, in)
	if t.HasHi && t.Hi < now {
		c.atLeast(id, now-t.Hi, in)
	}
}

// sorting is the column that a query is sorted by first. down: the largest number is the best.
type sorting struct {
	col  uint8
	down bool
}

func sortingOf(s market.Sort) sorting {
	switch col := colOf[s.Field]; {
	case s.Field == market.FieldClass:
		return sorting{colPrice, false}
	case s.Each:
		return sorting{perUnit(col), false}
	case s.Field == market.FieldRTT:
		return sorting{colNear, false}
	default:
		// known for long: since an early moment
		return sorting{col, !cheapIsBest(s.Field) && s.Field != market.FieldKnown}
	}
}
