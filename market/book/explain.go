package book

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// maxRelax is how many single changes an Explanation proposes.
const maxRelax = 3

// Explanation says why rigs did not fit. Considered = Matched + TooNew + the sum of Rejected's counts.
type Explanation struct {
	Considered, Matched int
	Rejected            []Rejected
	Relax               []Relax
	Unstated            int // of Rejected: failed because the value is not stated
	TooNew              int // need a newer version of this program
}

// Rejected counts the rigs whose first failing condition is this one. Reason is a kebab-case word for programs: class,
// free, term, excluded, unreachable, needs-direct, mint, rate. Term is the condition as a user would write it; Sole of
// them fail nothing else. Nearest is the value that came closest, NearestRate the lowest rate it costs; empty and 0 if
// none stated one.
type Rejected struct {
	Reason, Term, Text string
	Count, Sole        int
	Nearest            string
	NearestRate        market.Rate
}

// Relax is one change that would let more rigs fit. Term is the flag, To its new value; Gains more rigs fit then, the
// cheapest at Rate.
type Relax struct {
	Term, To string
	Gains    int
	Rate     market.Rate
}

// tally is what a scan notes per condition.
type tally struct {
	count, sole, unstated int
	near, soleNear        nearest
	also                  []int // by condition: how many of those that fail this one first fail that one, too
	alsoNear              []nearest
	why                   []string // condHidden: what they failed with, each once
}

type nearest struct {
	known bool
	dist  uint64
	value uint64
	rate  market.Rate
}

func (n *nearest) see(value, dist uint64, rate market.Rate) {
	if !n.known || dist < n.dist || dist == n.dist && rate > 0 && (n.rate == 0 || rate < n.rate) {
		*n = nearest{known: true, dist: dist, value: value, rate: rate}
	}
}

func (s *scan) count(i int, sole bool, v *view) {
	t, c := &s.tally[i], &s.conds[i]
	t.count++
	if why := v.e.why; c.kind == condHidden && why != "" && !slices.Contains(t.why, why) {
		t.why = append(t.why, why)
	}
	if sole {
		t.sole++
	} else {
		s.countAlso(i, v)
	}
	value, dist, ok := s.distance(c, v)
	if c.kind == condTerm {
		if _, stated := v.value(c.term.Field); !stated {
			t.unstated++
			s.unstated++
			return
		}
	}
	if !ok {
		return
	}
	t.near.see(value, dist, v.rate)
	if sole {
		t.soleNear.see(value, dist, v.rate)
	}
}

// countAlso notes what else a group fails: whoever mends the first failure only would meet the next one.
func (s *scan) countAlso(i int, v *view) {
	t := &s.tally[i]
	if t.also == nil {
		t.also, t.alsoNear = make([]int, len(s.conds)), make([]nearest, len(s.conds))
	}
	for j := i + 1; j < len(s.conds); j++ {
		c := &s.conds[j]
		if v.fits(c, &s.q) {
			continue
		}
		t.also[j]++
		if value, dist, ok := s.distance(c, v); ok {
			t.alsoNear[j].see(value, dist, v.rate)
		}
	}
}

// alsoText names the other terms that rigs fail which fail this one first.
func (s *scan) alsoText(t *tally) (text string) {
	for j, n := range t.also {
		if c := &s.conds[j]; n > 0 && c.kind == condTerm {
			text += ", also " + c.term.String()
			if t.alsoNear[j].known {
				text += " (nearest " + valueText(c, t.alsoNear[j].value) + ")"
			}
		}
	}
	return text
}

// distance says how far a group is from meeting a condition; false where there is no "nearly".
func (s *scan) distance(c *condition, v *view) (value, dist uint64, ok bool) {
	switch c.kind {
	case condFree:
		return uint64(v.free), uint64(s.q.Devices - v.free), v.free > 0
	case condRate:
		return uint64(v.rate), uint64(v.rate - s.q.MaxRate), true
	case condTerm:
		x, stated := v.value(c.term.Field)
		if !stated || c.term.Not || len(c.term.In) > 0 {
			return 0, 0, false
		}
		if x < c.term.Lo {
			return x, c.term.Lo - x, true
		}
		return x, x - c.term.Hi, true
	}
	return 0, 0, false
}

func (s *scan) explanation() Explanation {
	x := Explanation{Considered: s.considered, Matched: s.matched, Unstated: s.unstated, TooNew: s.tooNew}
	for i := range s.conds {
		if s.tally[i].count > 0 {
			x.Rejected = append(x.Rejected, s.rejected(i))
		}
	}
	return x
}

func (s *scan) rejected(i int) Rejected {
	c, t := &s.conds[i], &s.tally[i]
	r := Rejected{Count: t.count, Sole: t.sole}
	switch c.kind {
	case condClass:
		r.Reason, r.Term = "class", c.term.String()
		r.Text = fmt.Sprintf("%d without %s", t.count, strings.Join(c.term.Classes, " or "))
		if c.term.Not {
			r.Text = fmt.Sprintf("%d only with excluded %s", t.count, strings.Join(c.term.Classes, " or "))
		}
	case condFree:
		r.Reason, r.Term = "free", fmt.Sprintf("free >= %d", s.q.Devices)
		r.Text = fmt.Sprintf("%d with fewer than %d free", t.count, s.q.Devices)
		if s.q.Devices == 1 {
			r.Text = fmt.Sprintf("%d without a free device", t.count)
		}
	case condTerm:
		r.Reason, r.Term = "term", c.term.String()
		r.Text = fmt.Sprintf("%d fail %s", t.count, r.Term)
		if t.sole == t.count {
			r.Text = fmt.Sprintf("%d fail only %s", t.count, r.Term)
		}
	case condExcluded:
		r.Reason, r.Term, r.Text = "excluded", "exclude", fmt.Sprintf("%d excluded", t.count)
	case condHidden:
		r.Reason, r.Term, r.Text = "unreachable", "reachable", fmt.Sprintf("%d failed two orders lately", t.count)
		if len(t.why) > 0 {
			r.Text += " (" + strings.Join(t.why, ", ") + ")"
		}
	case condDirect:
		r.Reason, r.Term = string(market.CodeNeedsDirect), "direct"
		r.Text = fmt.Sprintf("%d reached over a relay only, which the files are too large for", t.count)
	case condMint:
		r.Reason, r.Term, r.Text = "mint", "mint", fmt.Sprintf("%d do not sell for this mint", t.count)
	case condRate:
		r.Reason, r.Term = "rate", fmt.Sprintf("rate <= %s", market.Amount(s.q.MaxRate).SOL())
		r.Text = fmt.Sprintf("%d ask more", t.count)
	}
	s.addNearest(&r, c, t)
	r.Text += s.alsoText(t)
	return r
}

func (s *scan) addNearest(r *Rejected, c *condition, t *tally) {
	if t.unstated > 0 {
		r.Text += fmt.Sprintf(" (%d do not state it)", t.unstated)
	}
	if !t.near.known {
		return
	}
	r.Nearest, r.NearestRate = valueText(c, t.near.value), t.near.rate
	r.Text += " (nearest " + r.Nearest
	if r.NearestRate > 0 && c.kind != condRate {
		r.Text += ", from " + market.Amount(r.NearestRate).SOL() + "/h"
	}
	r.Text += ")"
}

func valueText(c *condition, v uint64) string {
	switch c.kind {
	case condFree:
		return fmt.Sprint(v)
	case condRate:
		return market.Amount(v).SOL()
	}
	return market.FormatValue(c.term.Field, v)
}

// Text says in one line what was looked at and why it did not fit.
func (x Explanation) Text() string {
	if x.Considered == 0 {
		return "no rig has offered anything yet"
	}
	var parts []string
	for _, r := range x.Rejected {
		parts = append(parts, r.Text)
	}
	if x.TooNew > 0 {
		parts = append(parts, fmt.Sprintf("%d need a newer version of gpuai", x.TooNew))
	}
	head := fmt.Sprintf("%d rigs looked at", x.Considered)
	if x.Considered == 1 {
		head = "1 rig looked at"
	}
	if x.Matched > 0 {
		head += fmt.Sprintf(", %d fit", x.Matched)
	}
	if len(parts) == 0 {
		return head
	}
	return head + ": " + strings.Join(parts, ", ")
}

// OnlyRelayed reports that some rig fits but for its path: it is reached over a relay only.
func (x Explanation) OnlyRelayed() bool {
	return slices.ContainsFunc(x.Rejected, func(r Rejected) bool {
		return r.Reason == string(market.CodeNeedsDirect) && r.Sole > 0
	})
}

// Hint proposes the cheapest changes, as flags.
func (x Explanation) Hint() string {
	if x.Considered == 0 {
		return "gpuai doctor"
	}
	var parts []string
	for _, r := range x.Relax {
		rigs := "rigs"
		if r.Gains == 1 {
			rigs = "rig"
		}
		flag := r.Term
		if r.To != "" {
			flag += " " + r.To
		}
		parts = append(parts, fmt.Sprintf("%s (%d %s)", flag, r.Gains, rigs))
	}
	if len(parts) == 0 && x.OnlyRelayed() {
		return "send smaller inputs, or have the job fetch them; or forward port 4801, UDP and TCP, to this machine"
	}
	if len(parts) == 0 {
		return "gpuai offers --explain"
	}
	return strings.Join(parts, " · ")
}

// change is a proposed query with how far it is from the asked one.
type change struct {
	relax Relax
	rise  uint64
	dist  float64
}

// relax proposes single changes, each tried by the same scan; cheapest first: rate rise, then relative distance.
func (b *Book) relax(q Query, s *scan, now time.Time) []Relax {
	var found []change
	for i := range s.conds {
		if s.tally[i].sole == 0 {
			continue // no rig fails only this: changing it alone gains nothing
		}
		next, c, ok := s.changed(i)
		if !ok {
			continue
		}
		r := b.scan(next, now)
		c.relax.Gains = r.matched - s.matched
		if c.relax.Gains <= 0 {
			continue
		}
		c.relax.Rate = cheapest(r.found)
		if q.MaxRate > 0 && c.relax.Rate > q.MaxRate {
			c.rise = uint64(c.relax.Rate - q.MaxRate)
		}
		found = append(found, c)
	}
	slices.SortStableFunc(found,
		func(a, b change) int { return cmp.Or(cmp.Compare(a.rise, b.rise), cmp.Compare(a.dist, b.dist)) })
	var out []Relax
	for _, c := range found[:min(len(found), maxRelax)] {
		out = append(out, c.relax)
	}
	return out
}

func cheapest(c []ranked) (best market.Rate) {
	for _, x := range c {
		if best == 0 || x.rate < best {
			best = x.rate
		}
	}
	return best
}

// changed returns the query with condition i moved to the nearest rig that fails only it.
func (s *scan) changed(i int) (Query, change, bool) {
	q, c, near := s.q, &s.conds[i], s.tally[i].soleNear
	ch := change{dist: math.Inf(1)}
	switch c.kind {
	case condRate:
		if !near.known {
			return q, ch, false
		}
		ch.dist = relative(near.dist, uint64(q.MaxRate))
		q.MaxRate = market.Rate(near.value)
		ch.relax = Relax{Term: "--max-rate", To: market.Amount(near.value).SOL() + "/h"}
	case condFree:
		if !near.known {
			return q, ch, false
		}
		ch.dist = relative(near.dist, uint64(q.Devices))
		q.Devices = int(near.value)
		ch.relax = Relax{Term: "--gpu", To: fmt.Sprintf("%s:%d", gpuWord(q.Classes), near.value)}
	case condTerm:
		return s.changedTerm(i, near)
	case condClass:
		if len(q.Classes) == 0 || slices.Equal(q.Classes, []string{market.ClassCPU}) {
			return q, ch, false // a CPU order on a GPU rig is another job, not a relaxed one
		}
		q.Classes = nil
		q.Terms = append(slices.Clone(q.Terms), market.Term{Classes: []string{market.ClassCPU}, Not: true})
		ch.relax = Relax{Term: "--gpu", To: "any"}
		if q.Devices > 1 {
			ch.relax.To = fmt.Sprintf("any:%d", q.Devices)
		}
	default:
		return q, ch, false
	}
	return q, ch, true
}

func gpuWord(classes []string) string {
	if len(classes) == 1 {
		return classes[0]
	}
	return "any"
}

func (s *scan) changedTerm(i int, near nearest) (Query, change, bool) {
	q, c := s.q, &s.conds[i]
	ch := change{dist: math.Inf(1)}
	at := slices.IndexFunc(q.Terms, func(t market.Term) bool { return t.String() == c.term.String() })
	if at < 0 {
		return q, ch, false
	}
	q.Terms = slices.Clone(q.Terms)
	if !near.known { // no nearly: drop the term
		q.Terms = slices.Delete(q.Terms, at, at+1)
		ch.relax = Relax{Term: "without", To: c.term.String()}
		return q, ch, true
	}
	t := c.term
	if near.value < t.Lo {
		ch.dist = relative(near.dist, t.Lo)
		t.Lo = near.value
	} else {
		ch.dist = relative(near.dist, t.Hi)
		t.Hi = near.value
	}
	q.Terms[at] = t
	ch.relax = Relax{Term: "--where", To: "'" + t.String() + "'"}
	if flag := sizeFlag(t.Field); flag != "" {
		ch.relax = Relax{Term: flag, To: market.FormatValue(t.Field, t.Lo)}
	}
	return q, ch, true
}

// sizeFlag is the flag of an order's size, "" for other fields.
func sizeFlag(f market.FieldID) string {
	switch f {
	case market.FieldRigCPU:
		return "--cpu"
	case market.FieldRigRAM:
		return "--memory"
	case market.FieldDisk:
		return "--disk"
	}
	return ""
}

func relative(dist, of uint64) float64 { return float64(dist) / float64(max(of, 1)) }
