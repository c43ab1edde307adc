package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// orphanLife is how long a container that bears our name but is in no lease is kept, paused, with a healthy store.
const orphanLife = 10 * time.Minute

// recover loads the rows and starts the leases that are not over; the actors adopt their jobs.
func (p *Provider) recover(ctx context.Context) error {
	if err := p.Rig.Load(ctx); err != nil {
		return err
	}
	err := p.db.Scan(bucketDebts, nil, func(k, v []byte) error {
		var d debt
		if len(k) != len(d.Lease) {
			return fmt.Errorf("debt row %x is not of a lease", k)
		}
		if err := unrow(v, &d); err != nil {
			return err
		}
		p.mu.Lock()
		p.debts[market.LeaseID(k)] = d
		p.mu.Unlock()
		return nil
	})
	if err != nil {
		return fmt.Errorf("load debts: %w", err)
	}
	books, err := p.till.Load()
	if err != nil {
		return fmt.Errorf("load channels: %w", err)
	}
	p.mu.Lock()
	for id, b := range books {
		p.channels[id] = &channel{Book: b, id: id, old: true}
	}
	p.mu.Unlock()
	if err := p.loadLeases(ctx); err != nil {
		return err
	}
	if err := p.Counter.Load(); err != nil {
		return err
	}
	return p.loadSums(ctx)
}

// holds reports whether a lease still has a device or a live share of its channel.
func (p *Provider) holds(l *leaseRun) bool {
	if p.Has(l.id) {
		return true
	}
	p.mu.Lock()
	ch := p.channels[l.channel]
	p.mu.Unlock()
	if ch == nil {
		return false
	}
	a, _ := ch.See()
	return a.Leases[l.id].Live
}

func (p *Provider) loadLeases(context.Context) error {
	return p.db.Scan(bucketLeases, nil, func(k, v []byte) error {
		var r leaseRow
		if err := unrow(v, &r); err != nil {
			return fmt.Errorf("lease row %x: %w", k, err)
		}
		b, err := p.db.Get(store.BucketTicks, k)
		if err != nil {
			return err
		}
		t, err := rows.DecodeTick(market.LeaseID(k), market.ProviderSide, b)
		if err != nil {
			return fmt.Errorf("tick of lease %x: %w", k, err)
		}
		l, err := p.reopen(r, t)
		if err != nil {
			return fmt.Errorf("lease %s: %w", t.Lease.ID, err)
		}
		p.mu.Lock()
		p.leases[l.id] = l
		p.mu.Unlock()
		p.Rig.Adopt(l.claim())
		p.Counter.Adopt(l.visit())
		p.owe(l, t.Lease.Owed())
		if !t.Lease.Terminal() || t.Lease.Debt > 0 || p.holds(l) { // an old debt may be paid at any time
			p.wg.Go(func() { p.start <- l })
		}
		return nil
	})
}

// reopen reads a lease's documents again from the bytes as received.
func (p *Provider) reopen(r leaseRow, t rows.Tick) (*leaseRun, error) {
	body, _, err := wire.OpenProposal(r.Raw, p.cfg.Network)
	if err != nil {
		return nil, err
	}
	order, _, err := wire.OpenOrder(body.Order, p.cfg.Network)
	if err != nil {
		return nil, err
	}
	quote, _, err := wire.OpenQuote(body.Quote, p.cfg.Network)
	if err != nil {
		return nil, err
	}
	sp, err := spec.ParseSpec(body.Spec)
	if err != nil {
		return nil, err
	}
	return p.runOf(r, t, &proposal{id: t.Lease.ID, from: r.From, body: body, order: order, quote: quote, spec: sp,
		raw: r.Raw})
}

// orphansEvery is how often it is looked for containers of no lease; the first look is at the start.
const orphansEvery = 10 * time.Second

// orphanLoop pauses at once what bears our name and is in no lease, and removes it after orphanLife: an old store may
// have been restored.
func (p *Provider) orphanLoop(ctx context.Context) {
	since := map[market.LeaseID]time.Time{}
	for ctx.Err() == nil {
		found, err := p.runner.List(ctx)
		if err != nil {
			found = nil // the engine does not answer: nothing is known, nothing is done
		}
		for _, f := range found {
			p.lookAt(ctx, f, since)
		}
		_ = sleep(ctx, orphansEvery)
	}
}

// lookAt decides about one container.
func (p *Provider) lookAt(ctx context.Context, f job.Found, since map[market.LeaseID]time.Time) {
	p.mu.Lock()
	l, known := p.leases[f.Key.Lease]
	p.mu.Unlock()
	switch {
	case known && l.actor.Lease().Terminal(): // the node ended between the last commit and the removal
		l.cleaned(ctx)
		return
	case known:
		return
	}
	if since[f.Key.Lease].IsZero() {
		since[f.Key.Lease] = p.now()
		p.log.Warn("Container without a lease is paused", "code", market.CodeContainerUnknown, "lease", f.Key.Lease)
	}
	if err := p.removeOrphan(ctx, f, since[f.Key.Lease]); err != nil && ctx.Err() == nil {
		p.log.Warn("Container without a lease", "lease", f.Key.Lease, "error", err)
	}
}

func (p *Provider) removeOrphan(ctx context.Context, f job.Found, since time.Time) error {
	if p.now().Sub(since) > orphanLife {
		return p.runner.Remove(ctx, f.Key)
	}
	if !f.Running || f.Paused || f.Role != "job" {
		return nil
	}
	_, err := p.runner.Reconcile(ctx, f.Key, job.Want{Phase: job.WantPaused})
	return err
}
