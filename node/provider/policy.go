package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// startsWindow is the time over which unpaid starts of a stranger are counted.
const startsWindow = time.Hour

// Policy is what the owner may change while the rig sells. A Quote that is out stays binding in price; the rules are
// asked again at the Lease.
type Policy struct {
	Rate        market.Rate            // per device-hour
	Rates       map[string]market.Rate // the same by class
	MaxTime     time.Duration          // longest lease; 0 = any
	Allow, Deny []spec.ImageRule       // deny wins; no Allow = any image
	// unpaid starts of a stranger per hour, and then one lease at a time until its first tick is paid; 0 = no limit
	PayerStarts  int
	PrepTime     time.Duration // preparation within an hour that led to no job, per customer; 0 = no limit
	PayerDevices int           // devices of one payer at a time; 0 = all
}

// SetPolicy takes effect at once: a change of what Offers say leaves as a new Offer.
func (p *Provider) SetPolicy(n Policy) {
	p.mu.Lock()
	old := p.policy
	p.policy = n
	p.mu.Unlock()
	if old.Rate != n.Rate || old.MaxTime != n.MaxTime || !maps.Equal(old.Rates, n.Rates) {
		p.offerChanged()
	}
}

// admits decides by debts and by the owner's rules whether a customer may have this order; it is asked for the Quote,
// before the chain is read for the Lease, and where devices are reserved. The payer of an order is only a claim until
// its Channel is seen, so a refusal may look at it, but only leases that were accepted count: nobody can use up
// another's. Caller holds mu. Refusals: debt-unpaid, policy, busy.
func (p *Provider) admits(o market.Order, from market.NodeID, now time.Time) error {
	if sum := p.debtOf(from, o.Payer, now); sum > 0 {
		return market.Refuse("debt-unpaid", market.KindDenied,
			fmt.Sprintf("%s SOL of an old lease are unpaid", sum.SOL()))
	}
	if err := p.policy.admitsImage(o.Image); err != nil {
		return err
	}
	if err := p.admitsDevices(o); err != nil {
		return err
	}
	if err := p.admitsPreparation(o, from, now); err != nil {
		return err
	}
	if p.policy.PayerStarts > 0 && !p.knows(from, o.Payer) {
		return p.admitsStranger(o, from, now)
	}
	return nil
}

func (r *Policy) admitsImage(image string) error {
	if len(r.Allow) == 0 && len(r.Deny) == 0 {
		return nil
	}
	ref, err := spec.ParseReference(image)
	if err != nil {
		return market.Refuse("policy", market.KindDenied, "provider.allow_images: the image's name cannot be read")
	}
	matches := func(rule spec.ImageRule) bool { return rule.Matches(ref) }
	if i := slices.IndexFunc(r.Deny, matches); i >= 0 {
		return market.Refuse("policy", market.KindDenied,
			"provider.deny_images: this rig does not run "+r.Deny[i].String())
	}
	if len(r.Allow) > 0 && !slices.ContainsFunc(r.Allow, matches) {
		names := make([]string, len(r.Allow))
		for i, a := range r.Allow {
			names[i] = a.String()
		}
		return market.Refuse("policy", market.KindDenied,
			"provider.allow_images: this rig runs only "+strings.Join(names, ", "))
	}
	return nil
}

// admitsDevices counts the devices that a payer's leases hold. Caller holds mu.
func (p *Provider) admitsDevices(o market.Order) error {
	limit, held := p.policy.PayerDevices, 0
	if limit == 0 {
		return nil
	}
	for _, l := range p.leases {
		if l.order.Payer == o.Payer && l.actor.Lease().State <= market.Releasing {
			held += len(l.quote.Devices)
		}
	}
	if held+o.Devices > limit {
		return market.Refuse("policy", market.KindDenied, fmt.Sprintf("limits.payer_devices: a payer has at most %d "+
			"at a time here; %d held, %d asked for", limit, held, o.Devices))
	}
	return nil
}

// admitsPreparation limits how long a customer may hold devices with preparations that lead to no job: they are free,
// whatever flag makes them fail or wait. Those that failed by this rig's fault do not count. Caller holds mu.
func (p *Provider) admitsPreparation(o market.Order, from market.NodeID, now time.Time) error {
	if p.policy.PrepTime == 0 {
		return nil
	}
	var sum time.Duration
	oldest := now
	for _, l := range p.leases {
		if l.customer != from && l.order.Payer != o.Payer {
			continue
		}
		free, ended := freePreparation(l.actor.Lease(), now)
		if free > 0 && ended.Before(oldest) {
			oldest = ended
		}
		sum += free * time.Duration(len(l.quote.Devices))
	}
	if sum < p.policy.PrepTime {
		return nil
	}
	wait := max(oldest.Add(startsWindow).Sub(now), time.Second)
	return refuseUntil("policy", market.KindDenied, fmt.Sprintf("limits.prep_time: devices waited %s within an hour "+
		"for preparations that led to no job; again at %s UTC, in %s",
		sum.Round(time.Second), now.Add(wait).UTC().Format(time.TimeOnly), wait.Round(time.Second)), wait)
}

// freePreparation is how long a lease held its devices within the last hour without a job, and when that ended.
func freePreparation(m market.Lease, now time.Time) (free time.Duration, ended time.Time) {
	ended = m.Ended
	if ended.IsZero() {
		ended = now
	}
	if !m.Ready.IsZero() || m.Accepted.IsZero() || m.Fault == market.FaultProvider ||
		now.Sub(ended).Abs() >= startsWindow {
		return 0, ended
	}
	return max(ended.Sub(m.Accepted), 0), ended
}

// admitsStranger limits what nobody pays for: one lease at a time before its first tick is paid, and so many unpaid
// starts an hour, by payer and by node key. It counts the leases that the store holds, so a restart forgets none.
// Caller holds mu.
func (p *Provider) admitsStranger(o market.Order, from market.NodeID, now time.Time) error {
	var byNode, byPayer []time.Time
	for _, l := range p.leases {
		node, payer := l.customer == from, l.order.Payer == o.Payer
		if !node && !payer {
			continue
		}
		m := l.actor.Lease()
		if inFirstTick(m) {
			return refuseUntil("busy", market.KindUnavailable,
				"limits.payer_starts: one lease at a time until its first tick is paid", p.cfg.Tick)
		}
		// a clock that was set back counts none for ever
		if min(m.Owed(), m.Paid) > 0 || now.Sub(m.Accepted).Abs() >= startsWindow {
			continue
		}
		if node {
			byNode = append(byNode, m.Accepted)
		}
		if payer {
			byPayer = append(byPayer, m.Accepted)
		}
	}
	wait := max(p.policy.startsWait(byNode, now), p.policy.startsWait(byPayer, now))
	if wait == 0 {
		return nil
	}
	return refuseUntil("policy", market.KindDenied,
		fmt.Sprintf("limits.payer_starts: %d starts within an hour were not paid; again at %s UTC, in %s",
			p.policy.PayerStarts, now.Add(wait).UTC().Format(time.TimeOnly), wait.Round(time.Second)), wait)
}

// startsWait is how long until fewer than the limit of these starts are within the window; 0 = now.
func (r *Policy) startsWait(starts []time.Time, now time.Time) time.Duration {
	if len(starts) < r.PayerStarts {
		return 0
	}
	slices.SortFunc(starts, time.Time.Compare)
	return max(starts[len(starts)-r.PayerStarts].Add(startsWindow).Sub(now), time.Second)
}

func refuseUntil(code string, kind market.Kind, detail string, wait time.Duration) error {
	r := market.Refuse(code, kind, detail)
	r.RetryAfter = wait
	return r
}

// tickOf is the price of one tick, or all that the lease may cost if that is less.
func tickOf(m market.Lease) market.Amount {
	price, err := m.Terms.Rate.For(m.Terms.Devices, m.Terms.Tick)
	if err != nil {
		return m.Limit() // a rate that was quoted does not overflow
	}
	return min(price, m.Limit())
}

// inFirstTick reports that a lease holds devices and its first tick is not paid.
func inFirstTick(m market.Lease) bool {
	return m.State.Live() && (m.Ready.IsZero() || m.Paid < tickOf(m))
}

// wasPaid reports that a lease makes its customer known: it is over and something was owed and paid, or a whole tick
// was. What is only signed ahead does not count, since it goes back.
func wasPaid(m market.Lease) bool {
	settled := min(m.Owed(), m.Paid)
	return settled > 0 && (!m.State.Live() || settled >= tickOf(m))
}

// knows tells whether this node key or payer has paid for a lease here. Caller holds mu.
func (p *Provider) knows(node market.NodeID, payer market.Address) bool {
	return p.paidBy[node.String()] || p.paidBy[payer.String()]
}

// learn remembers the keys of a lease that was paid.
func (p *Provider) learn(l *leaseRun) {
	if !wasPaid(l.actor.Lease()) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paidBy[l.customer.String()], p.paidBy[l.order.Payer.String()] = true, true
}
