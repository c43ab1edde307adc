package book

import (
	"bytes"
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Query is what an order needs. Terms are ANDed; Classes empty = any; Devices 0 = 1; MaxRate 0 = no limit; Limit 0 =
// 200.
// Of equally good ones the cheaper comes first. Providers: only these, empty = any.
type Query struct {
	Terms              []market.Term
	Classes            []string
	Devices            int
	Mint               market.Address
	MaxRate            market.Rate
	Sort               market.Sort
	Limit              int
	Order              market.OrderID // spreads equal offers over orders
	Providers, Exclude []market.NodeID
	Rented             bool // devices that are rented now fit, too
	Direct             bool // rigs that are reached over a relay only do not fit: files are too large for one
	Explain            bool // the Result says why the rest did not fit
}

// QueryOf is what an Order needs, for the book. Of a rig's cores, memory and disk an Offer says what is lent out in
// all; what is free of them, the Quote says.
func QueryOf(o market.Order) Query {
	q := Query{
		Devices: o.Devices, Mint: o.Mint, MaxRate: o.MaxRate,
		Terms: []market.Term{{Field: market.FieldEgress, In: []uint64{uint64(o.Egress)}}},
	}
	for _, t := range o.Constraints {
		if t.Field == market.FieldClass && !t.Not && !t.Soft && q.Classes == nil {
			q.Classes = t.Classes
			continue
		}
		q.Terms = append(q.Terms, t)
	}
	for _, size := range []market.Term{
		{Field: market.FieldRigCPU, Lo: uint64(o.CPUMilli)}, {Field: market.FieldRigRAM, Lo: o.RAM >> 20},
		{Field: market.FieldDisk, Lo: o.Disk >> 20},
	} {
		if size.Lo > 0 {
			q.Terms = append(q.Terms, size)
		}
	}
	return q
}

// Candidate is one fitting group of one provider. Offer is shared with the book: read only. Devices is the number of
// free ones.
type Candidate struct {
	Provider market.NodeID
	Offer    market.Offer
	OfferID  market.DocID
	Raw      []byte
	Group    int
	Rate     market.Rate
	Devices  int
	SoftMiss int  // soft terms that it fails
	Relayed  bool // reached over a relay only, as far as this node knows

	sort market.Sort
	of   uint64 // what its rate is weighed by: the score, or the sort's field
	key  uint64 // its place by the sort, at Rate
}

// Rank is the candidate's place by the query's sort if it asks a rate, as a Quote may: smaller is better.
func (c *Candidate) Rank(r market.Rate) uint64 {
	switch {
	case c.sort.Field == market.FieldClass:
		return weighed(r, c.of)
	case c.sort.Each:
		if q, ok := rateFor(r, c.of); ok {
			return q
		}
		return 1<<64 - 1
	case c.sort.Field == market.FieldRate:
		return uint64(r)
	}
	return c.key
}

// ranked is a candidate while a scan runs: small, because a broad query finds most of the book.
type ranked struct {
	e           *entry
	group, free int
	rate        market.Rate
	soft        int
	relayed     bool
	key         [6]uint64 // ascending; the last one spreads equal offers over orders
}

func (r *ranked) candidate() Candidate {
	return Candidate{
		Provider: r.e.offer.Provider, Offer: r.e.offer, OfferID: r.e.id, Raw: r.e.raw, Group: r.group, Rate: r.rate,
		Devices:  r.free,
		SoftMiss: r.soft, Relayed: r.relayed,
	}
}

// Result is a ranked list, at most one candidate per provider, and, where the Query asks for it, why the rest did not
// fit.
type Result struct {
	Candidates  []Candidate
	Explanation Explanation
}

// Match ranks the offers that fit a query. It reads the book only. An explanation looks at every offer, one by one.
func (b *Book) Match(q Query, now time.Time) (res Result) {
	q = q.complete()
	s := &scan{q: q, conds: conditions(q)}
	if len(q.Providers) > 0 {
		s = b.scan(q, now)
	} else {
		b.best(s, now)
	}
	slices.SortFunc(s.found, func(a, b ranked) int {
		return cmp.Or(slices.Compare(a.key[:], b.key[:]), bytes.Compare(a.e.offer.Provider[:], b.e.offer.Provider[:]),
			cmp.Compare(a.group, b.group))
	})
	seen := map[*entry]bool{}
	for i := range s.found {
		if c := &s.found[i]; len(res.Candidates) < q.Limit && !seen[c.e] {
			seen[c.e] = true
			cand := c.candidate()
			cand.sort, cand.key, cand.of = q.Sort, c.key[0], scoreOf(c.e)
			if q.Sort.Each {
				v, _ := viewOf(c.e, c.group, q.Mint, now)
				cand.of, _ = v.value(q.Sort.Field)
			}
			res.Candidates = append(res.Candidates, cand)
		}
	}
	if q.Explain {
		res.Explanation = b.explain(q, now)
	}
	return res
}

// best finds at least the best rows of as many providers as the query wants, by the index.
func (b *Book) best(s *scan, now time.Time) {
	for n, all := s.q.Limit+s.q.Limit/8+4, false; !all; n *= 4 { // rows of one provider count once
		var rows []row
		rows, all = b.pick(s, n, now)
		s.found = s.found[:0]
		providers := map[*entry]bool{}
		for _, r := range rows {
			e := r.c.entries[r.slot]
			v, _ := viewOf(e, r.group, s.q.Mint, now)
			s.found = append(s.found, s.rank(&v))
			providers[e] = true
		}
		all = all || len(providers) >= s.q.Limit
	}
}

// complete puts the defaults in.
func (q Query) complete() Query {
	if q.Devices < 1 {
		q.Devices = 1
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		q.Limit = MaxLimit
	}
	if _, known := q.Sort.Field.Info(); !known {
		q.Sort = market.Sort{}
	}
	q.Terms = market.MergeTerms(q.Terms)
	return q
}

// explain says why offers did not fit, and what would let more of them.
func (b *Book) explain(q Query, now time.Time) Explanation {
	s := b.scan(q, now)
	x := s.explanation()
	if s.matched < q.Limit {
		x.Relax = b.relax(q, s, now)
	}
	return x
}

// condition is one test of a group; conds are in the order in which an Explanation counts.
type condition struct {
	kind condKind
	term market.Term
}

type condKind uint8

const (
	condClass condKind = iota + 1
	condFree
	condTerm
	condExcluded
	condHidden
	condDirect
	condMint
	condRate
)

func conditions(q Query) []condition {
	var conds []condition
	if len(q.Classes) > 0 {
		conds = append(conds, condition{condClass, market.Term{Classes: q.Classes}})
	}
	for level := market.LevelClass; level <= market.LevelLocal; level++ {
		if level == market.LevelDevice {
			conds = append(conds, condition{kind: condFree})
		}
		for _, t := range q.Terms {
			if t.Soft {
				continue
			}
			info, ok := t.Field.Info()
			if !ok {
				info.Level = market.LevelLocal
			}
			if info.Level != level {
				continue
			}
			kind := condTerm
			if t.Field == market.FieldClass {
				kind = condClass
			}
			conds = append(conds, condition{kind, t})
		}
	}
	conds = append(conds, condition{kind: condExcluded}, condition{kind: condHidden})
	if q.Direct {
		conds = append(conds, condition{kind: condDirect})
	}
	conds = append(conds, condition{kind: condMint})
	if q.MaxRate > 0 {
		conds = append(conds, condition{kind: condRate})
	}
	return conds
}

// view is one group as the conditions see it.
type view struct {
	e     *entry
	group int
	free  int
	rate  market.Rate
	now   time.Time
}

func (v *view) value(f market.FieldID) (uint64, bool) {
	x, ok := v.stated(f)
	return min(x, maxValue), ok
}

func (v *view) stated(f market.FieldID) (uint64, bool) {
	switch f {
	case market.FieldRate:
		return uint64(v.rate), v.rate > 0
	case market.FieldFree:
		return uint64(v.free), true
	case market.FieldRigCPU:
		return v.wholeRig(f, market.FieldCPU)
	case market.FieldRigRAM:
		return v.wholeRig(f, market.FieldRAM)
	case market.FieldKnown:
		return max(sinceCode(v.now), sinceCode(v.e.firstSeen)) - sinceCode(v.e.firstSeen), true
	}
	if f >= market.FieldScore {
		x, ok := v.e.local[f]
		return x, ok
	}
	if x, ok := v.e.offer.Groups[v.group].Fields[f]; ok {
		return x, true
	}
	x, ok := v.e.offer.Fields[f]
	return x, ok
}

// wholeRig is a value of all devices of the offer: as it is stated, else as a share of each device makes it.
func (v *view) wholeRig(whole, f market.FieldID) (uint64, bool) {
	if x, ok := v.e.offer.Fields[whole]; ok {
		return x, true
	}
	each, ok := v.e.offer.Fields[f]
	n := uint64(0)
	for i := range v.e.offer.Groups {
		n += uint64(len(v.e.offer.Groups[i].Devices))
	}
	if n > 0 && each > math.MaxUint64/n {
		return math.MaxUint64, ok
	}
	return each * n, ok
}

func (v *view) fits(c *condition, q *Query) bool {
	switch c.kind {
	case condClass:
		return c.term.FitsClass(v.e.offer.Groups[v.group].Class)
	case condFree:
		return v.free >= q.Devices || q.Rented && len(v.e.offer.Groups[v.group].Devices) >= q.Devices
	case condTerm:
		x, ok := v.value(c.term.Field)
		return c.term.Fits(x, ok)
	case condExcluded:
		return !slices.Contains(q.Exclude, v.e.offer.Provider)
	case condHidden:
		return !v.e.hidden.After(v.now)
	case condDirect:
		return !v.e.relayed.After(v.now)
	case condMint:
		return v.rate > 0
	case condRate:
		return v.rate <= q.MaxRate
	}
	return false
}

// scan looks at every offer, or at those of the query's providers.
func (b *Book) scan(q Query, now time.Time) *scan {
	s := &scan{q: q, conds: conditions(q)}
	s.tally = make([]tally, len(s.conds))
	entries := b.entries
	if len(q.Providers) > 0 {
		entries = nil
		for i, id := range q.Providers {
			if e := b.byProvider[id]; e != nil && slices.Index(q.Providers, id) == i {
				entries = append(entries, e)
			}
		}
	}
	for _, e := range entries {
		if len(e.offer.Groups) > 0 && e.expires.After(now) {
			s.offer(e, now)
		}
	}
	return s
}

// scan is one pass over the book.
type scan struct {
	q          Query
	conds      []condition
	tally      []tally
	considered int
	matched    int
	unstated   int
	tooNew     int
	found      []ranked
}

// offer tests the groups of one offer and counts it once: as its best candidate, or at the failing condition of the
// group that got furthest.
func (s *scan) offer(e *entry, now time.Time) {
	s.considered++
	if e.tooNew() {
		s.tooNew++
		return
	}
	best := ranked{}
	furthest, sole := -1, false
	var at view
	for gi := range e.offer.Groups {
		v, _ := viewOf(e, gi, s.q.Mint, now)
		first, only := s.test(&v)
		if first < 0 {
			if c := s.rank(&v); best.e == nil || slices.Compare(c.key[:], best.key[:]) < 0 {
				best = c
			}
			continue
		}
		if first > furthest || first == furthest && only && !sole {
			furthest, sole, at = first, only, v
		}
	}
	if best.e != nil {
		s.matched++
		s.found = append(s.found, best)
		return
	}
	s.count(furthest, sole, &at)
}

// test returns the index of the first failing condition, -1 for none, and whether it is the only one.
func (s *scan) test(v *view) (first int, only bool) {
	first = -1
	for i := range s.conds {
		if v.fits(&s.conds[i], &s.q) {
			continue
		}
		if first >= 0 {
			return first, false
		}
		first = i
	}
	return first, true
}

func freeOf(g *market.DeviceGroup) int {
	return bits.OnesCount64(g.Free & (1<<len(g.Devices) - 1)) // 1<<64 is 0, so 64 devices keep all bits
}

func (s *scan) rank(v *view) ranked {
	c := ranked{e: v.e, group: v.group, free: v.free, rate: v.rate, relayed: v.e.relayed.After(v.now)}
	for _, t := range s.q.Terms {
		if !t.Soft {
			continue
		}
		x, ok := v.value(t.Field)
		if t.Field == market.FieldClass && !t.FitsClass(v.e.offer.Groups[v.group].Class) ||
			t.Field != market.FieldClass && !t.Fits(x, ok) {
			c.soft++
		}
	}
	proof, _ := v.value(market.FieldProof)
	c.key = [6]uint64{s.sortKey(v), uint64(c.soft), expected(v), maxValue - proof, nearStep(v),
		tieOf(seedOf(v.e.offer.Provider[:]), seedOf(s.q.Order[:]))}
	return c
}

// sortKey is smaller for better; unknown values come last. A round trip counts in steps.
func (s *scan) sortKey(v *view) uint64 {
	const last = 1<<64 - 1
	f := s.q.Sort.Field
	switch {
	case f == market.FieldClass:
		return expected(v)
	case f == market.FieldRTT && !s.q.Sort.Each:
		return nearStep(v)
	}
	x, stated := v.value(f)
	switch {
	case !stated:
		return last
	case s.q.Sort.Each:
		if q, ok := rateFor(v.rate, x); ok && f != market.FieldKnown { // nothing costs more because it is known
			return q
		}
		return last
	case cheapIsBest(f):
		return x
	}
	return maxValue - x
}

// cheapIsBest reports whether less of a field is better.
func cheapIsBest(f market.FieldID) bool {
	return f == market.FieldReady || f == market.FieldRate
}

// expected is the rank of the rate that a rig costs once failures are repeated.
func expected(v *view) uint64 { return weighed(v.rate, scoreOf(v.e)) }

// weighed is the rank of rate / clamp(score, 0.5, 1).
func weighed(r market.Rate, score uint64) uint64 {
	score = min(max(score, 500_000), 1_000_000)
	// a rate of at most 2^44 stays below 2^64
	return rank4((uint64(min(r, maxValue))*1_000_000 + score - 1) / score)
}

// scoreOf is what is known of a provider, in parts per million; 0.8 if nothing is.
func scoreOf(e *entry) uint64 {
	if score, ok := e.local[market.FieldScore]; ok {
		return score
	}
	return 800_000
}
