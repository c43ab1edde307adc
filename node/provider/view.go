package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/past"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/node/shelf"
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
	_, balance := p.books.fees()
	return View{View: p.Rig.View(), Note: p.cfg.Note, Policy: p.Policy(), Payout: p.cfg.Payout,
		FeePayer: p.cfg.FeePayer, Live: len(p.desk.live()), FeeBalance: balance, Earned: p.Earned()}
}

// LeasesKept is how many leases Leases lists.
const LeasesKept = 1000

// Leases lists the leases that are not done with and the newest of the others, oldest first. Those have no Outcome
// here: see Lease.
func (p *Provider) Leases() []LeaseView {
	out, _, err := p.Page(nil, LeasesKept, false)
	if err != nil {
		p.log.Warn("Past leases were not read", "error", err) // the node ends, or its store is damaged
	}
	slices.SortFunc(out, func(a, b LeaseView) int { return bytes.Compare(a.place(), b.place()) })
	return out
}

// place orders the leases that are not done with.
func (v LeaseView) place() []byte { return shelf.KeyOf(v.Lease.Accepted, v.Lease.ID) }

// The first byte of a place says where it lies.
const (
	placeLive = iota
	placePast
)

// Page lists at most n leases: those that are not done with, oldest first, then the others unless live, what ended last
// first. after is what the page before returned as next, which is nil at the end; nil: from the beginning. A lease that
// ends meanwhile may come once more. Errors: the store's.
func (p *Provider) Page(after []byte, n int, live bool) (list []LeaseView, next []byte, err error) {
	have := map[market.LeaseID]bool{}
	for _, l := range p.desk.all() {
		have[l.id] = true
		if v := l.view(); len(after) == 0 || bytes.Compare(append([]byte{placeLive}, v.place()...), after) > 0 {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b LeaseView) int { return bytes.Compare(a.place(), b.place()) })
	if len(list) > n || len(list) == n && !live {
		return list[:n], append([]byte{placeLive}, list[n-1].place()...), nil
	}
	if live {
		return list, nil, nil
	}
	if next = nil; len(after) > 0 && after[0] == placePast {
		next = after[1:]
	}
	old, next, err := past.Page(p.db, next, n-len(list))
	for _, x := range old {
		if !have[x.Tick.Lease.ID] { // else it leaves just now
			list = append(list, LeaseView{Lease: x.Tick.Lease, Customer: x.Customer, Order: x.Order.Order(),
				Receipt: x.Tick.Receipt})
		}
	}
	if next != nil {
		next = append([]byte{placePast}, next...)
	}
	return list, next, err
}

// Lease is one lease with all its documents, also one that has left memory; false: there is none. Errors: the store's.
func (p *Provider) Lease(id market.LeaseID) (LeaseView, bool, error) {
	l := p.desk.find(id)
	if l == nil {
		var err error
		if l, err = p.desk.recall(id); l == nil {
			return LeaseView{}, false, err
		}
	}
	return l.view(), true, nil
}

func (l *leaseRun) view() LeaseView {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LeaseView{Lease: l.actor.Lease(), Customer: l.customer, Order: l.order, Receipt: l.tick.Receipt,
		Outcome: l.row.Outcome, PeerOutcome: l.row.PeerOutcome}
}

// Metered is the billable time of the leases in memory and of those that have left it since this start.
func (p *Provider) Metered() time.Duration {
	sum := time.Duration(p.desk.metered.Load()) * time.Millisecond
	for _, l := range p.desk.all() {
		sum += time.Duration(l.actor.Lease().Meter.BillableMS) * time.Millisecond
	}
	return sum
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
	m, ok := p.desk.runner.(metered)
	if !ok {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, usageWithin)
	defer cancel()
	for _, l := range p.desk.live() {
		if l.actor.Lease().State == market.Preparing {
			continue
		}
		if u, err := m.Usage(ctx, l.key); err == nil {
			out[l.id] = u
		}
	}
	return out
}

// Kick ends one lease as its provider: what is metered is paid, the fault is this side's, and the customer hears the
// reason. Error: not-found for a lease that is not live here; ctx's, the store's.
func (p *Provider) Kick(ctx context.Context, ref, reason string) error {
	var hit *leaseRun
	n := 0
	for _, l := range p.desk.live() {
		if ref != "" && strings.HasPrefix(l.id.String(), ref) {
			hit, n = l, n+1
		}
	}
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
	var errs []error
	runs := p.desk.live()
	for _, l := range runs {
		err := l.actor.Do(ctx, market.StopAsked{By: market.ProviderSide, Code: market.CodeProviderStop})
		if err != nil && !errors.Is(err, market.ErrIllegal) {
			errs = append(errs, err)
		}
		l.poke()
	}
	for _, l := range runs {
		if _, err := l.actor.Await(ctx, func(m market.Lease) bool { return !m.State.Live() }); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}
