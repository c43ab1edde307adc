package market

import "time"

// Figures of the customer's side, as people read them.

// Cost is what the job has cost so far: the provider's claim, as far as it is signed and acknowledged; once the lease
// closes, as far as it is signed. What is signed ahead of the meter is not in it. It never falls.
func (l Lease) Cost() Amount {
	if l.State == Closing || l.Terminal() {
		return min(l.Claim, l.Signed)
	}
	return min(l.Claim, l.Paid)
}

// Ahead is what is signed beyond the claim: it comes back, or becomes due.
func (l Lease) Ahead() Amount { return sub(l.Signed, l.Claim) }

// AtRisk is what may be signed beyond the claim so that a sleeping customer does not stop its job.
func (l Lease) AtRisk() Amount { return l.buyer(nil).atRisk() }

// Asleep is what this node may lose while it sleeps from now on, and how long the job works on meanwhile before its
// provider pauses it: for what is signed ahead, and for the tick that a provider works before it must be paid, unless
// that one is prepaid. A provider claims each half tick, so the time may be shorter by as much.
func (l Lease) Asleep() (risk Amount, runs time.Duration) {
	risk = l.Ahead()
	switch l.State {
	case Running, Paused, Preparing, Proposed:
		risk = max(risk, l.AtRisk())
	case Stopping, Silent:
	default:
		return 0, 0
	}
	if l.Funds > 0 {
		risk = min(risk, max(sub(l.Funds, l.Claim), sub(l.Signed, l.Claim)))
	}
	if l.State != Paused || risk > 0 {
		runs = l.Terms.Rate.Reach(l.Terms.Devices, risk)
	}
	if risk == 0 {
		runs = 0
	}
	if !l.Terms.Prepay {
		runs += l.Terms.Tick - max(minMargin, l.Terms.Tick/20)
	}
	return risk, min(runs, ms(sub64(l.limitMS(), l.ClaimMS)))
}

// CapTime splits what a limit in money and a longest time pay for: how long the job runs before it is told to stop, and
// the grace that then remains of both. A provider begins the stop while the grace, but at most half of the limit, is
// left.
func CapTime(rate Rate, devices int, limit Amount, longest, stopGrace time.Duration) (runs, grace time.Duration) {
	l := Common{Terms: Terms{Rate: rate, Devices: devices, Cap: limit, Budget: limit, MaxDuration: longest,
		StopGrace: stopGrace}}
	runs = longest - l.stopGrace()
	if rate > 0 {
		runs = min(runs, rate.Reach(devices, limit-min(l.price(l.stopGrace()), limit/2)))
	}
	return runs, min(ms(l.limitMS())-runs, l.stopGrace())
}

// Left is how long the job may still run before it is told to stop, at its present rate, and what is left of its limit
// in money.
func (l Lease) Left() (runs time.Duration, money Amount) {
	runs, _ = CapTime(l.Terms.Rate, l.Terms.Devices, l.Limit(), l.Terms.MaxDuration, l.Terms.StopGrace)
	return max(0, runs-ms(l.ClaimMS)), sub(l.Limit(), l.Claim)
}
