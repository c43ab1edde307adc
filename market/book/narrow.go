package book

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"

	"github.com/gpuai/gpuai/market"
)

// boundEvery: a closer bound is looked for when so many times the wanted rows are there.
const boundEvery = 4

// mark is a number in a column that a row may not be beyond. Those that equal it are told apart by the next mark.
type mark struct {
	col    uint8
	down   bool // the largest is the best
	stated bool // a row that states none is beyond
	value  uint64
}

// tighten finds the bound that leaves at least the best n rows of those found so far, and drops what is beyond it.
func (p *picker) tighten() {
	found := p.hits
	p.hits = make([]hit, len(found))
	for i, h := range found {
		p.hits[i] = hit{c: h.c, set: slices.Clone(h.set), rows: h.rows}
	}
	bound, tie := p.closest()
	p.hits = found
	if len(bound) > 0 {
		p.bound, p.tie = bound, tie
		p.total, p.hits = 0, found[:0]
		for _, h := range found {
			if p.within(h.c, h.set) {
				h.rows = count(h.set)
				p.total += h.rows
				p.hits = append(p.hits, h)
			}
		}
	}
	p.again = p.often * max(p.n, p.total)
}

// closest is the bound by all keys that columns hold, as far as they tell rows apart: many rows may be equally good by
// the first ones. It uses the hits up.
func (p *picker) closest() (bound []mark, tie uint64) {
	r := rest{p.n, p.total}
	for _, key := range p.keys() {
		r = p.by(r.need, r.rows, key.col, key.down, key.stated)
		at, ok := p.last(r, key)
		if !ok {
			return bound, 1<<64 - 1
		}
		if bound = append(bound, at); r.rows <= p.enough {
			return bound, 1<<64 - 1
		}
	}
	if len(bound) == 1 {
		return bound, 1<<64 - 1 // what follows is no column
	}
	return bound, p.lastTie(r)
}

// keys are those of a ranking that columns hold, in its order, up to the first that none holds.
func (p *picker) keys() []mark {
	keys := []mark{{col: p.sort.col, down: p.sort.down, stated: true}}
	if slices.ContainsFunc(p.s.q.Terms, func(t market.Term) bool { return t.Soft }) {
		return keys
	}
	return append(keys, mark{col: colPrice}, mark{col: colOf[market.FieldProof], down: true}, mark{col: colNear})
}

// last is the number of the last undecided row; false: it states none and has to. More rows than enough are equal.
func (p *picker) last(r rest, key mark) (mark, bool) {
	first := true
	for _, h := range p.hits {
		for w := range h.set {
			for m := h.set[w]; m > 0; m &= m - 1 {
				x, ok := h.c.value(key.col, 64*w+bits.TrailingZeros64(m))
				ok = ok || !key.stated
				if !ok || first || (x > key.value) != key.down {
					key.value, first = x, false
				}
				if !ok || r.rows > p.enough {
					return key, ok
				}
			}
		}
	}
	return key, !first
}

// lastTie is the tie of the last undecided row that is needed.
func (p *picker) lastTie(r rest) uint64 {
	ties := make([]uint64, 0, r.rows)
	order := seedOf(p.s.q.Order[:])
	for _, h := range p.hits {
		for w := range h.set {
			for m := h.set[w]; m > 0; m &= m - 1 {
				ties = append(ties, tieOf(h.c.seeds[64*w+bits.TrailingZeros64(m)], order))
			}
		}
	}
	slices.Sort(ties)
	return ties[r.need-1]
}

// within drops the rows of m that are beyond the bound, and reports whether one is left.
func (p *picker) within(c *chunk, m []uint64) bool {
	last, ties := len(p.bound)-1, p.tie < 1<<64-1
	var equal, better bitmap // those that equal the marks so far; those that one mark finds better
	same := equal[:len(m)]
	copy(same, m)
	for i, key := range p.bound {
		c.upTo(key, same)
		if i == last && !ties {
			break
		}
		copy(m, same)
		c.equals(key, same)
		for w := range m {
			better[w] |= m[w] &^ same[w]
		}
	}
	if ties {
		c.upToTie(p.tie, seedOf(p.s.q.Order[:]), same)
	}
	some := uint64(0)
	for w := range m {
		m[w] = better[w] | same[w]
		some |= m[w]
	}
	return some > 0
}

// upTo drops the rows of m that are beyond a mark.
func (c *chunk) upTo(key mark, m []uint64) {
	if col := c.col(key.col); key.stated && col == nil {
		clear(m)
	} else if key.stated {
		for i := range m {
			m[i] &= col.stated[i]
		}
	}
	if key.down {
		c.atLeast(key.col, key.value, m)
	} else {
		c.atMost(key.col, key.value, m)
	}
}

// equals drops the rows of m whose number is another than a mark's, or whose number is none and the mark's is not 0.
func (c *chunk) equals(key mark, m []uint64) {
	if c.col(key.col) != nil || key.value > 0 {
		c.equal(key.col, key.value, m)
	}
}

// upToTie drops the rows of m whose tie in an order is above a limit.
func (c *chunk) upToTie(limit, order uint64, m []uint64) {
	for w := range m {
		for left := m[w]; left > 0; left &= left - 1 {
			if slot := bits.TrailingZeros64(left); tieOf(c.seeds[64*w+slot], order) > limit {
				m[w] &^= 1 << slot
			}
		}
	}
}

// enoughRows are cheaper to compare one by one.
const enoughRows = 128

// narrow leaves the best n of total rows, and as few others as bitmaps can tell, by one key after the other.
func (p *picker) narrow(n, total int) {
	left := p.by(n, total, p.sort.col, p.sort.down, true)
	if left.rows > p.enough {
		left = p.bySoft(left)
	}
	if left.rows > p.enough {
		left = p.by(left.need, left.rows, colPrice, false, false)
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
			top = max(top, col.high)
		}
	}
	r := rest{need, rows}
	if stated {
		r = p.split(r, func(c *chunk) half {
			if col := c.col(id); col != nil {
				return half{col.stated, col.states, true}
			}
			return half{first: true}
		})
	}
	for b := top - 1; b >= 0 && r.rows > p.enough; b-- {
		r = p.split(r, func(c *chunk) half {
			if col := c.col(id); col != nil && b < len(col.ones) {
				return half{col.slices[b*c.words : (b+1)*c.words], int(col.ones[b]), down}
			}
			return half{first: down}
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
		r = p.split(r, func(c *chunk) half { return half{fails[c][b][:c.words], -1, false} })
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

// half are the rows of a chunk that have one bit: how many, -1 if nobody counted. first: they are better than the rest.
type half struct {
	bit   []uint64
	ones  int
	first bool
}

// turned is what makes 1 of the bit the better one.
func (b half) turned() uint64 {
	if b.first {
		return 0
	}
	return 1<<64 - 1
}

// better counts the rows of a hit on the better side.
func (h *hit) better(b half) (n int) {
	if b.ones == 0 || b.ones == h.c.count || h.rows == 0 {
		if (b.ones > 0) == b.first {
			return h.rows
		}
		return 0
	}
	lacks, s := b.turned(), b.bit[:len(h.set)]
	for i, m := range h.set {
		if m > 0 {
			n += bits.OnesCount64(m & (s[i] ^ lacks))
		}
	}
	return n
}

// split decides by one bit: those that have it come first, or those that lack it. Where the better half is not enough,
// it is sure and the other half is undecided; else the other half is out.
func (p *picker) split(r rest, bitOf func(c *chunk) half) rest {
	better := 0
	p.good = p.good[:0]
	for i := range p.hits {
		n := p.hits[i].better(bitOf(p.hits[i].c))
		p.good = append(p.good, n)
		better += n
	}
	if better == 0 || better == r.rows {
		return r
	}
	hits := p.hits[:0]
	for i, h := range p.hits {
		h.keep(bitOf(h.c), p.good[i], better >= r.need)
		if h.rows > 0 || h.sure != nil {
			hits = append(hits, h)
		}
	}
	p.hits = hits
	if better >= r.need {
		return rest{r.need, better}
	}
	return rest{r.need - better, r.rows - better}
}

// keep leaves the good rows of the better side, if those are enough for the query, else the others, and is sure of the
// good ones.
func (h *hit) keep(b half, good int, enough bool) {
	if good == h.rows && enough || good == 0 && !enough {
		return
	}
	lacks, all := b.turned(), good == h.rows
	if !enough && h.sure == nil {
		h.sure = make([]uint64, len(h.set))
	}
	for i, m := range h.set {
		better := uint64(0)
		if all {
			better = m
		} else if good > 0 && m > 0 {
			better = m & (b.bit[i] ^ lacks)
		}
		if enough {
			h.set[i] = better
		} else {
			h.sure[i] |= better
			h.set[i] = m &^ better
		}
	}
	if enough {
		h.rows = good
	} else {
		h.rows -= good
	}
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
				tie := tieOf(h.c.seeds[slot], order)
				if tie > limit {
					continue
				}
				best = append(best, tied{tie, h.c.entries[slot], place{h.c, uint16(slot)}, h.c.groups[slot]})
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
