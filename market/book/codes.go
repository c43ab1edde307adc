package book

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
)

// A row is one group of one offer, sold for one mint. The index keeps it as small numbers, one per column: what each
// field states, what each field costs per unit, and what ranks it.
const (
	fieldCols = 64 // at most that many rows has the capability table
	colPrice  = 2 * fieldCols
	colSize   = colPrice + 1 // devices, also rented ones
	colNear   = colPrice + 2 // round trip, in steps
	colCount  = colPrice + 3
)

// colOf is the column of a field, 0 for the class and for fields of later versions; perUnit of it is the column of the
// rate per unit of the field.
var colOf = func() (cols [256]uint8) {
	for i, f := range market.FieldTable() {
		cols[f.ID] = uint8(i)
	}
	return cols
}()

func perUnit(col uint8) uint8 { return col + fieldCols }

// maxValue is the largest number that is told from larger ones: 2^44 is 17 exabytes as MiB. What is above is a lie.
const maxValue = 1 << 44

// codes are a row's numbers. A column that is not stated has 0.
type codes struct {
	stated [(colCount + 63) / 64]uint64
	value  [colCount]uint64
}

func (c *codes) set(col uint8, v uint64) {
	c.stated[col/64] |= 1 << (col % 64)
	c.value[col] = v
}

func (c *codes) has(col uint8) bool { return c.stated[col/64]>>(col%64)&1 > 0 }

// codesOf are the numbers of a row, from the same views that the naive scan looks at. The time since a provider is
// known changes by itself, so its column holds since when.
func codesOf(v *view) *codes {
	c, o := &codes{}, &v.e.offer
	for _, stated := range [...]market.Fields{o.Groups[v.group].Fields, o.Fields} { // a group's own first
		for f, x := range stated {
			if col := colOf[f]; col > 0 && f < market.FieldScore && !computed(f) && !c.has(col) {
				c.set(col, min(x, maxValue))
			}
		}
	}
	for f, x := range v.e.local {
		if col := colOf[f]; col > 0 && f >= market.FieldScore && !computed(f) {
			c.set(col, min(x, maxValue))
		}
	}
	for _, f := range [...]market.FieldID{market.FieldRate, market.FieldFree, market.FieldRigCPU, market.FieldRigRAM} {
		if x, ok := v.value(f); ok {
			c.set(colOf[f], x)
		}
	}
	c.set(colOf[market.FieldKnown], sinceCode(v.e.firstSeen))
	for col := uint8(1); col < fieldCols; col++ {
		if c.has(col) && col != colOf[market.FieldKnown] {
			if q, ok := rateFor(v.rate, c.value[col]); ok {
				c.set(perUnit(col), q)
			}
		}
	}
	c.set(colPrice, expected(v))
	c.set(colSize, uint64(len(v.e.offer.Groups[v.group].Devices)))
	c.set(colNear, nearStep(v))
	return c
}

// computed reports whether view.stated makes the value of a field, whatever the offer says of it.
func computed(f market.FieldID) bool {
	switch f {
	case market.FieldRate, market.FieldFree, market.FieldRigCPU, market.FieldRigRAM, market.FieldKnown:
		return true
	}
	return false
}

// sinceCode is a moment in whole seconds.
func sinceCode(t time.Time) uint64 {
	const year2017 = 1_500_000_000
	return uint64(max(t.Unix()-year2017, 0))
}

// nearStep is the round trip in steps of 25 ms; who was never measured is far.
func nearStep(v *view) uint64 {
	rtt, seen := v.e.local[market.FieldRTT]
	if !seen {
		rtt = 1 << 20
	}
	return min(rtt, maxValue) / 25
}

// rateFor is the rank of a rate per unit of a field, six decimal places of it; none for a value of 0.
func rateFor(r market.Rate, x uint64) (uint64, bool) {
	hi, lo := bits.Mul64(uint64(r), 1_000_000)
	if x == 0 || hi >= x {
		return 0, false
	}
	q, _ := bits.Div64(hi, lo, x)
	return rank4(q), true
}

// rank4 numbers what is left of numbers that are rounded up to four digits: 9,999 -> 9,999, 10,000 -> 10,000,
// 10,001 to 10,010 -> 10,001. So offers that differ by less are equal, and spread over orders.
func rank4(x uint64) uint64 {
	if x < 10_000 {
		return x
	}
	step, k := uint64(10), uint64(0)
	for x/step >= 10_000 {
		step, k = step*10, k+1
	}
	m := x / step
	if x%step > 0 {
		m++
	}
	return 10_000 + k*9_000 + m - 1_000
}

// tieOf orders offers that are equal otherwise by a number that nobody can choose for an order that is not made yet.
func tieOf(seed, order uint64) uint64 {
	x := seed ^ order
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// viewOf is a row as the conditions see it; false: the group is not sold for the mint.
func viewOf(e *entry, group int, mint market.Address, now time.Time) (view, bool) {
	g := &e.offer.Groups[group]
	v := view{e: e, group: group, free: freeOf(g), now: now}
	if i := slices.Index(e.offer.Mints, mint); i >= 0 && i < len(g.Rates) {
		v.rate = g.Rates[i]
	}
	return v, v.rate > 0
}

// seedOf folds an id of any length.
func seedOf(id []byte) (seed uint64) {
	for ; len(id) >= 8; id = id[8:] {
		seed ^= binary.BigEndian.Uint64(id)
	}
	return seed
}
