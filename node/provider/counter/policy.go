package counter

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/rig"
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

func (r *Policy) prices() rig.Prices {
	return rig.Prices{Rate: r.Rate, Rates: r.Rates, MaxTime: r.MaxTime}
}

// Admits decides by debts and by the owner's rules whether a customer may have this order; it is asked for the Quote,
// before the chain is read for the Lease, and where devices are reserved. The payer of an order is only a claim until
// its Channel is seen, so a refusal may look at it, but only leases that were accepted count: nobody can use up
// another's. Refusals: debt-unpaid, policy, busy.
func (c *Counter) Admits(o market.Order, from market.NodeID, now time.Time) error {
	r, visits := c.policy.Load(), c.guests.of(from, o.Payer)
	if sum := c.deps.Books.DebtOf(from, o.Payer, now); sum > 0 {
		return market.Refuse(market.CodeDebtUnpaid, market.KindDenied,
			fmt.Sprintf("%s SOL of an old lease are unpaid", sum.SOL()))
	}
	if err := r.admitsImage(o.Image); err != nil {
		return err
	}
	if err := r.admitsDevices(o, visits); err != nil {
		return err
	}
	if err := r.admitsPreparation(visits, now); err != nil {
		return err
	}
	if r.PayerStarts > 0 && !c.guests.knows(from, o.Payer) {
		return r.admitsStranger(o, from, visits, c.cfg.Tick, now)
	}
	return nil
}

func (r *Policy) admitsImage(image string) error {
	if len(r.Allow) == 0 && len(r.Deny) == 0 {
		return nil
	}
	ref, err := spec.ParseReference(image)
	if err != nil {
		return market.Refuse(market.CodePolicy, market.KindDenied,
			"provider.allow_images: the image's name cannot be read")
	}
	matches := func(rule spec.ImageRule) bool { return rule.Matches(ref) }
	if i := slices.IndexFunc(r.Deny, matches); i >= 0 {
		return market.Refuse(market.CodePolicy, market.KindDenied,
			"provider.deny_images: this rig does not run "+r.Deny[i].String())
	}
	if len(r.Allow) > 0 && !slices.ContainsFunc(r.Allow, matches) {
		names := make([]string, len(r.Allow))
		for i, a := range r.Allow {
			names[i] = a.String()
		}
		return market.Refuse(market.CodePolicy, market.KindDenied,
			"provider.allow_images: this rig runs only "+strings.Join(names, ", "))
	}
	return nil
}

// admitsDevices counts the devices that a payer's leases hold.
func (r *Policy) admitsDevices(o market.Order, visits []*Visit) error {
	limit, held := r.PayerDevices, 0
	if limit == 0 {
		return nil
	}
	for _, v := range visits {
		if v.Payer == o.Payer && v.Now().State <= market.Releasing {
			held += v.Devices
		}
	}
	if held+o.Devices > limit {
		return market.Refuse(market.CodePolicy, market.KindDenied,
			fmt.Sprintf("limits.payer_devices: a payer has at most %d "+
				"at a time here; %d held, %d asked for", limit, held, o.Devices))
	}
	return nil
}

// admitsPreparation limits how long a customer may hold devices with preparations that lead to no job: they are free,
// whatever flag makes them fail or wait. Those that failed by this rig's fault do not count.
func (r *Policy) admitsPreparation(visits []*Visit, now time.Time) error {
	if r.PrepTime == 0 {
		return nil
	}
	var sum time.Duration
	oldest := now
	for _, v := range visits {
		free, ended := freePreparation(v.Now(), now)
		if free > 0 && ended.Before(oldest) {
			oldest = ended
		}
		sum += free * time.Duration(v.Devices)
	}
	if sum < r.PrepTime {
		return nil
	}
	wait := max(oldest.Add(startsWindow).Sub(now), time.Second)
	return refuseUntil(market.CodePolicy, market.KindDenied,
		fmt.Sprintf("limits.prep_time: devices waited %s within an hour "+
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
func (r *Policy) admitsStranger(o market.Order, from market.NodeID, visits []*Visit, tick time.Duration,
	now time.Time) error {
	var byNode, byPayer []time.Time
	for _, v := range visits {
		m := v.Now()
		if inFirstTick(m) {
			return oneAtATime(tick)
		}
		// a clock that was set back counts none for ever
		if min(m.Owed(), m.Paid) > 0 || now.Sub(m.Accepted).Abs() >= startsWindow {
			continue
		}
		if v.Node == from {
			byNode = append(byNode, m.Accepted)
		}
		if v.Payer == o.Payer {
			byPayer = append(byPayer, m.Accepted)
		}
	}
	wait := max(r.startsWait(byNode, now), r.startsWait(byPayer, now))
	if wait == 0 {
		return nil
	}
	return refuseUntil(market.CodePolicy, market.KindDenied,
		fmt.Sprintf("limits.payer_starts: %d starts within an hour were not paid; again at %s UTC, in %s",
			r.PayerStarts, now.Add(wait).UTC().Format(time.TimeOnly), wait.Round(time.Second)), wait)
}

// startsWait is how long until fewer than the limit of these starts are within the window; 0 = now.
func (r *Policy) startsWait(starts []time.Time, now time.Time) time.Duration {
	if len(starts) < r.PayerStarts {
		return 0
	}
	slices.SortFunc(starts, time.Time.Compare)
	return max(starts[len(starts)-r.PayerStarts].Add(startsWindow).Sub(now), time.Second)
}

func oneAtATime(tick time.Duration) error {
	return refuseUntil(market.CodeBusy, market.KindUnavailable,
		"limits.payer_starts: one lease at a time until its first tick is paid", tick)
}

func refuseUntil(code market.Code, kind market.Kind, detail string, wait time.Duration) error {
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
