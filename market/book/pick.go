package book

import (
	"bytes"
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
	sure []uint64 // those that are
}

// picker finds the best rows of one query.
type picker struct {
	s      *scan
	now    time.Time
	enough int
	hits   []hit
	drop   map[*chunk][]uint16 // rows that no column rules out: expired, hidden, excluded
}

// pick returns at least the best n rows that fit, in no order, and whether those are all that fit.
func (b *Book) pick(s *scan, n int, now time.Time) (rows []row, all bool) {
	p := &picker{s: s, now: now, enough: b.enough}
	b.dropped(p)
	for class, part := range b.index.parts[s.q.Mint] {
		if p.fitsClass(class) {
			for _, c := range part.chunks {
				p.look(part, c)
			}
		}
	}
	total := 0
	for _, h := range p.hits {
		total += count(h.set)
	}
	all = total <= n
	if !all {
		p.narrow(n, total)
	}
	for _, h := range p.hits {
		for w := range h.set {
			for m := h.set[w] | h.sure[w]; m > 0; m &= m - 1 {
				slot := 64*w + bits.TrailingZeros64(m)
				rows = append(rows, row{place: place{h.c, uint16(slot)}, group: int(h.c.groups[slot])})
			}
		}
	}
	return rows, all
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
func (p *picker) look(part *part, c *chunk) {
	var buf bitmap
	m := buf[:c.words]
	copy(m, c.live)
	for _, slot := range p.drop[c] {
		m[slot/64] &^= 1 << (slot % 64)
	}
	for i := range p.s.conds {
		if !p.keep(c, &p.s.conds[i], m) {
			return
		}
	}
	sets := make([]uint64, 2*c.words)
	p.hits = append(p.hits, hit{c, sets[:c.words], sets[c.words:]})
	copy(sets, m)
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

// enoughRows are cheaper to compare one by one.
const enoughRows = 128

// narrow leaves the best n of total rows, and as few others as bitmaps can tell, by one key after the other.
func (p *picker) narrow(n, total int) {
	by := sortingOf(p.s.q.Sort)
	left := p.by(n, total, by.col, by.down, true)
	if left.rows > p.enough {
		left = p.bySoft(left)
	}
	if left.rows > p.enough {
		left = p.by(left.need, left.rows, colOf[market.FieldProof], true, false)
	}
	if left.rows > p.enough {
		left = p.by(left.need, left.rows, colNear, false, false)
	}
	if left.rows > p.enough {
		p.byTie(left)
	}
}

// rest is what is undecided: the best need of so many rows.
type rest struct{ need, rows int }

// by decides by one column, from its highest bit on. down: the largest is the best. stated: who does not state it comes
// last; else it counts as 0.
func (p *picker) by(need, rows int, id uint8, down, stated bool) rest {
	top := 0
	for _, h := range p.hits {
		if col := h.c.col(id); col != nil {
			top = max(top, len(col.slices)/h.c.words)
		}
	}
	r := rest{need, rows}
	if stated {
		r = p.split(r, func(c *chunk) ([]uint64, bool) {
			if col := c.col(id); col != nil {
				return col.stated, true
			}
			return nil, true
		})
	}
	for b := top - 1; b >= 0 && r.rows > p.enough; b-- {
		r = p.split(r, func(c *chunk) ([]uint64, bool) {
			if col := c.col(id); col != nil && (b+1)*c.words <= len(col.slices) {
				return col.slices[b*c.words : (b+1)*c.words], down
			}
			return nil, down
		})
	}
	return r
}

// bySoft decides by how many soft terms a row fails.
func (p *picker) bySoft(r rest) rest {
	var soft []*market.Term
	for i := range p.s.q.Terms {
		if p.s.q.Terms[i].Soft {
			soft = append(soft, &p.s.q.Terms[i])
		}
	}
	if len(soft) == 0 {
		return r
	}
	fails := map[*chunk][]bitmap{} // by bit of the number of failed terms
	for _, h := range p.hits {
		sum := make([]bitmap, bits.Len(uint(len(soft))))
		for _, t := range soft {
			var buf bitmap
			m := buf[:h.c.words]
			copy(m, h.set)
			p.soft(&h, t, m)
			for i := range m {
				carry := h.set[i] &^ m[i]
				for b := range sum {
					sum[b][i], carry = sum[b][i]^carry, sum[b][i]&carry
				}
			}
		}
		fails[h.c] = sum
	}
	for b := bits.Len(uint(len(soft))) - 1; b >= 0 && r.rows > p.enough; b-- {
		r = p.split(r, func(c *chunk) ([]uint64, bool) { return fails[c][b][:c.words], false })
	}
	return r
}

func (p *picker) soft(h *hit, t *market.Term, m []uint64) {
	if t.Field != market.FieldClass {
		p.term(h.c, t, m)
		return
	}
	for w := range m { // all rows of a chunk have one class
		if m[w] > 0 {
			slot := 64*w + bits.TrailingZeros64(m[w])
			if e := h.c.entries[slot]; !t.FitsClass(e.offer.Groups[h.c.groups[slot]].Class) {
				clear(m)
			}
			return
		}
	}
}

// split decides by one bit: those that have it come first, or those that lack it. Where the better half is not enough,
// it is sure and the other half is undecided; else the other half is out.
func (p *picker) split(r rest, bitOf func(c *chunk) (slice []uint64, first bool)) rest {
	better := 0
	for _, h := range p.hits {
		s, lacks := sides(h, bitOf)
		for i, m := range h.set {
			better += bits.OnesCount64(m & (s[i] ^ lacks))
		}
	}
	if better == 0 || better == r.rows {
		return r
	}
	hits := p.hits[:0]
	for _, h := range p.hits {
		s, lacks := sides(h, bitOf)
		left := uint64(0)
		for i, m := range h.set {
			good := m & (s[i] ^ lacks)
			if better >= r.need {
				h.set[i] = good
			} else {
				h.sure[i] |= good
				h.set[i] = m &^ good
			}
			left |= h.set[i] | h.sure[i]
		}
		if left > 0 {
			hits = append(hits, h)
		}
	}
	p.hits = hits
	if better >= r.need {
		return rest{r.need, better}
	}
	return rest{r.need - better, r.rows - better}
}

// noBits stand for those of a column that a chunk lacks.
var noBits bitmap

// sides are the bits of a chunk, and what turns them so that 1 is better.
func sides(h hit, bitOf func(c *chunk) (slice []uint64, first bool)) (s []uint64, lacks uint64) {
	s, first := bitOf(h.c)
	if s == nil {
		s = noBits[:]
	}
	if !first {
		lacks = 1<<64 - 1
	}
	return s[:len(h.set)], lacks
}

// tied is a row whose tie decides.
type tied struct {
	tie  uint64
	e    *entry
	at   place
	more uint8 // its group
}

func (t tied) compare(o tied) int {
	return cmp.Or(cmp.Compare(t.tie, o.tie), bytes.Compare(t.e.offer.Provider[:], o.e.offer.Provider[:]),
		cmp.Compare(t.more, o.more))
}

// byTie keeps the first of rows that are equal otherwise.
func (p *picker) byTie(r rest) {
	order := seedOf(p.s.q.Order[:])
	best := make([]tied, 0, 2*r.need)
	limit := uint64(1<<64 - 1)
	at := map[*chunk]*hit{}
	for i := range p.hits {
		h := &p.hits[i]
		at[h.c] = h
		for w := range h.set {
			for m := h.set[w]; m > 0; m &= m - 1 {
				slot := 64*w + bits.TrailingZeros64(m)
				e := h.c.entries[slot]
				tie := tieOf(h.c.seeds[slot], order)
				if tie > limit {
					continue
				}
				best = append(best, tied{tie, e, place{h.c, uint16(slot)}, h.c.groups[slot]})
				if len(best) == cap(best) {
					slices.SortFunc(best, tied.compare)
					best = best[:r.need]
					limit = best[r.need-1].tie
				}
			}
			h.set[w] = 0
		}
	}
	slices.SortFunc(best, tied.compare)
	for _, t := range best[:r.need] {
		at[t.at.c].set[t.at.slot/64] |= 1 << (t.at.slot % 64)
	}
}

// sorting is the column that a query is sorted by first. down: the largest number is the best.
type sorting struct {
	col  uint8
	down bool
}

func sortingOf(words string) sorting {
	f, each := sortField(words)
	switch col := colOf[f]; {
	case f == market.FieldClass:
		return sorting{colPrice, false}
	case each:
		return sorting{perUnit(col), false}
	default:
		return sorting{col, !cheapIsBest(f) && f != market.FieldKnown} // known for long: since an early moment
	}
}
