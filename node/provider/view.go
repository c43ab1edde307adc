package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// View is the role as people see it.
type View struct {
	Selling          bool
	Why              string // why nothing is sold, "" if it is or the owner paused it
	Note             string // what its owner should know all the same
	Policy           Policy
	Payout, FeePayer market.Address
	Devices          []DeviceView
	Live             int
	FeeBalance       market.Amount // of the fee payer, when the chain was read last
	Earned           Earned
	Since            time.Time // it sells, or does not
}

// DeviceView is one device. State: free, leased, clearing, quarantined or withdrawn; Lease is zero when there is none.
type DeviceView struct {
	ID    market.DeviceID
	Class string
	State string
	Lease market.LeaseID
	Rate  market.Rate
}

// LeaseView is one lease of the selling side.
type LeaseView struct {
	Lease                         market.Lease
	Customer                      market.NodeID
	Order                         market.Order
	Receipt, Outcome, PeerOutcome []byte // signed bytes; nil while there are none
}

var deviceWords = map[devState]string{0: "free", devFree: "free", devLeased: "leased", devClearing: "clearing",
	devQuarantined: "quarantined", devWithdrawn: "withdrawn"}

// View returns the role's state now.
func (p *Provider) View() View {
	leases, earned := p.Leases(), p.Earned()
	p.mu.Lock()
	defer p.mu.Unlock()
	v := View{Selling: p.sells(), Why: p.why(), Note: p.cfg.Note, Policy: p.policy, Payout: p.cfg.Payout,
		FeePayer: p.cfg.FeePayer}
	for i, d := range p.devices {
		row := p.rows[p.deviceIDs[i]]
		dv := DeviceView{ID: p.deviceIDs[i], Class: d.Class, State: deviceWords[row.State],
			Rate: p.rateOf(market.DeviceGroup{Class: d.Class})}
		if row.State == devLeased || row.State == devClearing {
			dv.Lease = row.Lease
		}
		v.Devices = append(v.Devices, dv)
	}
	if len(v.Devices) == 0 {
		v.Selling, v.Why = false, "no device: nothing was found that can be sold"
	}
	v.FeeBalance, v.Earned, v.Since = p.feeBal, earned, p.stood.since
	for _, l := range leases {
		if l.Lease.State.Live() {
			v.Live++
		}
	}
	return v
}

// why says what keeps the rig from selling, "" if only its owner does. Caller holds mu.
func (p *Provider) why() string {
	if p.selling && !p.health.checked {
		return "starting: the engine is being checked"
	}
	if len(p.devices) == 0 {
		return "there is no device to sell"
	}
	return p.health.detail
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
		r := l.row
		l.mu.Unlock()
		out[i] = LeaseView{Lease: l.actor.Lease(), Customer: l.customer, Order: l.order, Receipt: r.Receipt,
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
		return &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "end lease",
			Detail: fmt.Sprintf("%d running leases begin with %q", n, ref), Hint: "gpuai provider leases"}
	}
	if len(reason) > 200 {
		reason = reason[:200]
	}
	p.log.Info("Lease is ended by its owner", "lease", hit.id, "reason", reason)
	err := hit.tell(ctx, market.StopAsked{By: market.ProviderSide, Code: "provider-stop", Detail: reason})
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
			if err := l.actor.Do(ctx, market.StopAsked{By: market.ProviderSide, Code: "provider-stop"}); err != nil &&
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
