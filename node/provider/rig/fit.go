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

// standing is whether the rig sells, and since when.
type standing struct {
	sells bool
	why   string
	since time.Time
}

func (s *standing) note(sells bool, why string, now time.Time) {
	if s.since.IsZero() || s.sells != sells || s.why != why {
		*s = standing{sells, why, now}
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
	changed := r.health != h
	r.health = h
	r.stood.note(r.sells(), r.why(), time.Now())
	r.mu.Unlock()
	r.once.Do(func() { close(r.checked) })
	if changed {
		r.Changed()
	}
	return h.fit
}
