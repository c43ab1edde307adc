package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/runtime/job"
)

// View is the role as people see it.
type View struct {
	rig.View
	Note             string // what its owner should know all the same
	Policy           Policy
	Payout, FeePayer market.Address
	Live             int
	FeeBalance       market.Amount // of the fee payer, when the chain was read last
	Earned           Earned
}

// LeaseView is one lease of the selling side.
type LeaseView struct {
	Lease                         market.Lease
	Customer                      market.NodeID
	Order                         market.Order
	Receipt, Outcome, PeerOutcome []byte // signed bytes; nil while there are none
}

// View returns the role's state now.
func (p *Provider) View() View {
	v := View{View: p.Rig.View(), Note: p.cfg.Note, Policy: p.Policy(), Payout: p.cfg.Payout, FeePayer: p.cfg.FeePayer,
		Earned: p.Earned()}
	for _, l := range p.Leases() {
		if l.Lease.State.Live() {
			v.Live++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v.FeeBalance = p.feeBal
	return v
}

// Leases lists what the node holds, oldest first.
func (p *Provider) Leases() []LeaseView {
	p.mu.Lock()
	runs := make([]*leaseRun, 0, len(p.leases))
	for _, l := range p.leases {
		runs = append(runs, l)
	}
	p.mu.Unlock()
	out := make([]LeaseView, len(runs))
	for i, l := range runs {
		l.mu.Lock()
		r, receipt := l.row, l.tick.Receipt
		l.mu.Unlock()
		out[i] = LeaseView{Lease: l.actor.Lease(), Customer: l.customer, Order: l.order, Receipt: receipt,
			Outcome: r.Outcome, PeerOutcome: r.PeerOutcome}
	}
	slices.SortFunc(out, func(a, b LeaseView) int { return a.Lease.Accepted.Compare(b.Lease.Accepted) })
	return out
}

// usageWithin is how long a look at what jobs take may last, all together.
const usageWithin = 2 * time.Second

// metered is a runner that can tell what a job takes of the rig.
type metered interface {
	Usage(ctx context.Context, k job.Key) (job.Usage, error)
}

// Usage is what the running jobs take of the rig. A job that cannot be looked at has no entry.
func (p *Provider) Usage(ctx context.Context) map[market.LeaseID]job.Usage {
	out := map[market.LeaseID]job.Usage{}
	m, ok := p.runner.(metered)
	if !ok {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, usageWithin)
	defer cancel()
	for _, v := range p.Leases() {
		if v.Lease.State != market.Running && v.Lease.State != market.Paused && v.Lease.State != market.Stopping {
			continue
		}
		if u, err := m.Usage(ctx, job.Key{Lease: v.Lease.ID}); err == nil {
			out[v.Lease.ID] = u
		}
	}
	return out
}

// Kick ends one lease as its provider: what is metered is paid, the fault is this side's, and the customer hears the
// reason. Error: not-found for a lease that is not live here; ctx's, the store's.
func (p *Provider) Kick(ctx context.Context, ref, reason string) error {
	var hit *leaseRun
	n := 0
	p.mu.Lock()
	for id, l := range p.leases {
		if ref != "" && strings.HasPrefix(id.String(), ref) && l.actor.Lease().State.Live() {
			hit, n = l, n+1
		}
	}
	p.mu.Unlock()
	if n != 1 {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "end lease",
			Detail: fmt.Sprintf("%d running leases begin with %q", n, ref), Hint: "gpuai provider leases"}
	}
	if len(reason) > 200 {
		reason = reason[:200]
	}
	p.log.Info("Lease is ended by its owner", "lease", hit.id, "reason", reason)
	err := hit.tell(ctx, market.StopAsked{By: market.ProviderSide, Code: market.CodeProviderStop, Detail: reason})
	hit.poke()
	return err
}

// EndLeases stops the sale, ends each live lease as the provider and waits until none is live. Errors: ctx's.
func (p *Provider) EndLeases(ctx context.Context) error {
	p.SetSelling(false)
	p.mu.Lock()
	runs := make([]*leaseRun, 0, len(p.leases))
	for _, l := range p.leases {
		runs = append(runs, l)
	}
	p.mu.Unlock()
	var errs []error
	for _, l := range runs {
		if l.actor.Lease().State.Live() {
			if err := l.actor.Do(ctx,
				market.StopAsked{By: market.ProviderSide, Code: market.CodeProviderStop}); err != nil &&
				!errors.Is(err, market.ErrIllegal) {
				errs = append(errs, err)
			}
			l.poke()
		}
	}
	for _, l := range runs {
		for l.actor.Lease().State.Live() {
			select {
			case <-ctx.Done():
				return errors.Join(append(errs, ctx.Err())...)
			case <-time.After(settleEvery):
			}
		}
	}
	return errors.Join(errs...)
}
