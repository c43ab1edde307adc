package provider

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
	code    string
	detail  string
	egress  uint8 // widest class offered
}

// fitLoop checks the engine; a rig that fails withdraws its Offer, its live leases are not touched.
func (p *Provider) fitLoop(ctx context.Context) {
	for ctx.Err() == nil {
		wait := fitEvery
		if !p.checkFit(ctx) {
			wait = fitRetry
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-p.recheck:
		case <-t.C:
		}
		t.Stop()
	}
}

func (p *Provider) checkFit(ctx context.Context) bool {
	h := health{checked: true, fit: true, egress: p.cfg.Egress}
	if p.fitness != nil {
		egress, err := p.fitness(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			h = health{checked: true, code: market.CodeOf(err), detail: err.Error()}
			p.log.Warn("Nothing is sold", "code", h.code, "error", err)
		} else if !egress && h.egress > market.EgressNone {
			h.egress = market.EgressNone
			p.log.Warn("Jobs get no network", "code", "guard-fails")
		}
	}
	p.mu.Lock()
	changed := p.health != h
	p.health = h
	p.stood.note(p.sells(), p.why(), time.Now())
	p.mu.Unlock()
	p.once.Do(func() { close(p.checked) })
	if changed {
		p.offerChanged()
	}
	return h.fit
}

// sells reports whether new leases are taken. Caller holds mu.
func (p *Provider) sells() bool { return p.selling && p.health.fit && len(p.devices) > 0 }
