package book

import (
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Standing is a query that waits: it is tested against single offers as they change, never against the whole book.
type Standing struct{ scan scan }

// NewStanding prepares a query; its Limit, Sort and Explain mean nothing.
func NewStanding(q Query) *Standing {
	q = q.complete()
	return &Standing{scan{q: q, conds: conditions(q)}}
}

// Classes are those that it can be served from; none: any.
func (s *Standing) Classes() []string { return s.scan.q.Classes }

// Fits reports whether a provider's offer serves a standing query now. It reads the book only.
func (b *Book) Fits(s *Standing, p market.NodeID, now time.Time) bool {
	e := b.byProvider[p]
	only := s.scan.q.Providers
	if e == nil || e.tooNew() || !e.expires.After(now) || len(only) > 0 && !slices.Contains(only, p) {
		return false
	}
	for gi := range e.offer.Groups {
		v, _ := viewOf(e, gi, s.scan.q.Mint, now)
		if first, _ := s.scan.test(&v); first < 0 {
			return true
		}
	}
	return false
}
