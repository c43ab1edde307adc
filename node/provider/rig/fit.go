package rig

import (
	"context"
	"time"

	"github.com/gpuai/gpuai/market"
)

// How often the engine is checked: at the start, again soon while it fails, and in case it was changed.
const (
	fitRetry = 30 * time.Second
	fitEvery = time.Hour
)

// Fitness tells whether the engine may take leases, and whether its network guard works: without one only egress none
// is offered. The error says why nothing is sold: runc-old, sandbox-weak, engine-missing, ….
type Fitness func(ctx context.Context) (egress bool, err error)

// health is what the last check said. Nothing is sold before the first one.
type health struct {
	checked bool // at least once since the start
	fit     bool
	code    market.Code
	detail  string
	egress  uint8 // widest class offered
}

// shop is whether the rig sells, why not, and since when.
type shop struct {
	devices int
	selling bool // its owner wants it
	health  health

	sold  bool // as it was noted last
	why   string
	since time.Time
}

// sells reports whether new leases are taken.
func (s *shop) sells() bool { return s.selling && s.health.fit && s.devices > 0 }

// reason says what keeps the rig from selling, "" if only its owner does.
func (s *shop) reason() string {
	if s.selling && !s.health.checked {
		return "starting: the engine is being checked"
	}
	if s.devices == 0 {
		return "there is no device to sell"
	}
	return s.health.detail
}

// note takes the time at which the answer is another one.
func (s *shop) note(now time.Time) {
	if sells, why := s.sells(), s.reason(); s.since.IsZero() || s.sold != sells || s.why != why {
		s.sold, s.why, s.since = sells, why, now
	}
}

// checker asks whether the engine is fit.
type checker struct{ *Rig }

// loop checks the engine; a rig that fails withdraws its Offer, its live leases are not touched.
func (r checker) loop(ctx context.Context) {
	for ctx.Err() == nil {
		wait := fitEvery
		if !r.check(ctx) {
			wait = fitRetry
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-r.deps.Recheck:
		case <-t.C:
		}
		t.Stop()
	}
}

func (r checker) check(ctx context.Context) bool {
	h := health{checked: true, fit: true, egress: r.cfg.Egress}
	if r.deps.Fit != nil {
		egress, err := r.deps.Fit(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			h = health{checked: true, code: market.CodeOf(err), detail: err.Error()}
			r.deps.Log.Warn("Nothing is sold", "code", h.code, "error", err)
		} else if !egress && h.egress > market.EgressNone {
			h.egress = market.EgressNone
			r.deps.Log.Warn("Jobs get no network", "code", market.CodeGuardFails)
		}
	}
	r.mu.Lock()
	changed := r.shop.health != h
	r.shop.health = h
	r.shop.note(time.Now())
	r.mu.Unlock()
	r.once.Do(func() { close(r.checked) })
	if changed {
		r.Changed()
	}
	return h.fit
}
