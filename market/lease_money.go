package market

import "time"

// Rules of §tick in docs/flows/payment.md. τ is the price of a tick; all comparisons are in money.

// awayAfter is Terms.AwayAfter where it is not set: what must be paid before anything is signed ahead of a stranger's
// meter; maxUnpaidPause ends a lease whose unpaid pauses sum to it; minMargin is the least time between freezing and a
// whole unpaid tick; a last claim may be a quarter tick above one, at least overshoot.
const (
	awayAfter      = 2 * time.Minute
	maxUnpaidPause = 10 * time.Minute
	minMargin      = 50 * time.Millisecond
	overshoot      = 500 * time.Millisecond
)

// price of d for this lease. Out of range only by a broken lease: the largest amount, which Valid refuses.
func (l Lease) price(d time.Duration) Amount {
	a, err := l.Terms.Rate.For(l.Terms.Devices, d)
	if err != nil {
		return ^Amount(0)
	}
	return a
}

// Owed is the price of what is metered, on the customer's side of its own meter.
func (l Lease) Owed() Amount { return l.price(ms(l.Meter.BillableMS)) }

func ms(n uint64) time.Duration {
	const most = 1 << 46
	return time.Duration(min(n, most)) * time.Millisecond
}

// Limit is the most that the lease can cost: the lower of cap and budget.
func (l Lease) Limit() Amount { return min(l.Terms.Cap, l.Terms.Budget) }

// limitMS is where the meter stops for good: the limit in money or max_duration.
func (l Lease) limitMS() uint64 {
	d := l.Terms.MaxDuration
	if l.Terms.Rate > 0 {
		d = min(d, l.Terms.Rate.Reach(l.Terms.Devices, l.Limit()))
	}
	return uint64(d.Milliseconds())
}

// tickPrice is τ in money: at least one unit of what is not free, or rounding alone would look like a dispute.
func (l Lease) tickPrice() Amount {
	p := l.price(l.Terms.Tick)
	if p == 0 && l.Terms.Rate > 0 {
		return 1
	}
	return p
}

func (l Lease) tickMS() uint64 { return uint64(l.Terms.Tick.Milliseconds()) }

// stopGrace is the grace that fits into the terms: at most half of the longest time.
func (l Lease) stopGrace() time.Duration { return min(l.Terms.StopGrace, l.Terms.MaxDuration/2) }

// add saturates.
func add(a, b Amount) Amount {
	if a+b < a {
		return ^Amount(0)
	}
	return a + b
}

// sub returns a − b, at least 0.
func sub(a, b Amount) Amount {
	if a < b {
		return 0
	}
	return a - b
}

// Unpaid is U: owed − paid, plus one tick with prepay, as far as the limit allows one; 0 when paid ahead. Provider's
// side.
func (l Lease) Unpaid() Amount {
	u := l.Owed()
	if l.Terms.Prepay && !l.Ready.IsZero() {
		u = max(u, min(add(u, l.tickPrice()), l.Limit()))
	}
	return sub(u, l.Paid)
}

// mustFreeze: U ≥ τ − max(50 ms, τ/20).
func (l Lease) mustFreeze() bool {
	u := l.Unpaid()
	return u > 0 && u >= l.price(l.Terms.Tick-max(minMargin, l.Terms.Tick/20))
}

// mayResume: U ≤ ½ τ.
func (l Lease) mayResume() bool { return l.Unpaid() <= l.price(l.Terms.Tick/2) }

// receiptDue: N ≥ ½ τ, and again each τ/5 while no Payment answers; but also each τ/2 of time, as a sign of life: at a
// rate so low that half a tick rounds to nothing, the customer's own meter would else starve.
func (l Lease) receiptDue(now time.Time) bool {
	if l.Meter.Running && now.Sub(l.ClaimAt) >= l.Terms.Tick/2 {
		return true
	}
	owed, half := l.Owed(), l.price(l.Terms.Tick/2)
	if n := sub(owed, l.Answered); n == 0 || n < half {
		return false
	}
	return owed > l.Claim && sub(owed, l.Claim) >= half || now.Sub(l.ClaimAt) >= l.Terms.Tick/5
}

// ProbeEvery is how often JobSeen is wanted: often enough that a freeze comes before a whole tick is unpaid.
func (l Lease) ProbeEvery() time.Duration {
	return min(max(l.Terms.Tick/40, minMargin), 250*time.Millisecond)
}

// receipt makes the next Receipt.
func (s *step) receipt() {
	s.ReceiptSeq++
	s.Claim, s.ClaimMS, s.ClaimPausedMS, s.ClaimUnobservedMS = s.Owed(), s.Meter.BillableMS, s.Meter.PausedMS,
		s.Meter.UnobservedMS
	s.ClaimState, s.ClaimAt, s.Final = s.State, s.now, s.State >= Releasing
	s.emit(SendReceipt{Receipt: s.LastReceipt()})
}

// LastReceipt returns the newest Receipt made (provider) or taken (customer); Seq 0: none. It is what to repeat.
func (l Lease) LastReceipt() Receipt {
	return Receipt{
		Lease: l.ID, Seq: l.ReceiptSeq, BillableMS: l.ClaimMS, PausedMS: l.ClaimPausedMS,
		UnobservedMS: l.ClaimUnobservedMS,
		Amount:       l.Claim, State: l.ClaimState, Wall: l.ClaimAt, Final: l.Final,
	}
}

// AtRisk is the away allowance: what may be signed beyond the claim so that a sleeping customer does not stop its job;
// 0 until Terms.AwayAfter is paid to this provider, earlier leases included. Customer's side.
func (l Lease) AtRisk() Amount {
	if l.Terms.Away == 0 || add(l.Signed, l.price(ms(l.Terms.PriorMS))) < l.price(l.Terms.AwayAfter) {
		return 0
	}
	return min(l.price(l.Terms.Away), l.Terms.AwayMax, sub(l.Limit(), l.Claim))
}

// ahead is the larger of the prepaid tick and the away allowance.
func (l Lease) ahead() Amount {
	a := l.AtRisk()
	if l.Terms.Prepay {
		a = max(a, l.tickPrice())
	}
	return a
}

// trusted is the most that the own meter lets the customer sign: own + max(τ, ahead). The last claim may be a little
// above: a job ends, and is frozen, between two looks. A provider that was silent may have worked one tick more than
// could be heard.
func (l Lease) trusted() Amount {
	a := add(l.Owed(), max(l.tickPrice(), l.ahead()))
	if !l.Final {
		return a
	}
	a = add(a, l.price(max(l.Terms.Tick/4, overshoot)))
	if l.Code == CodeProviderSilent {
		a = add(a, l.tickPrice())
	}
	return a
}

// payable is what to sign now: the lower of own + max(τ, ahead) and claim + ahead, below all hard caps, never less than
// before.
func (l Lease) payable() Amount {
	ahead := Amount(0)
	if !l.Final && (l.State == Running || l.State == Paused) {
		ahead = l.ahead()
	}
	a := min(l.trusted(), add(l.Claim, ahead), l.Limit(), l.price(ms(l.limitMS())))
	if l.Funds > 0 {
		a = min(a, l.Funds)
	}
	return max(l.Signed, a)
}

// pay signs what is payable. An unchanged amount is repeated at most each τ/5.
func (s *step) pay() {
	a := s.payable()
	if a == 0 || a == s.Signed && s.ReceiptSeq == s.wasSeq && s.now.Sub(s.SentAt) < s.Terms.Tick/5 {
		return
	}
	s.Signed, s.SentAt = a, s.now
	s.emit(SignPayment{LeaseAmount: a, OwnMS: s.Meter.BillableMS, ReceiptSeq: s.ReceiptSeq})
	s.topUp()
}

// topUp asks once per deposit for more when four fifths of it are signed.
func (s *step) topUp() {
	if s.Funds > 0 && s.Funds < s.Limit() && s.Signed >= s.Funds/5*4 && s.ToppedAt != s.Funds {
		s.ToppedAt = s.Funds
		s.emit(TopUp{})
	}
}

// heard counts the own meter up to boot. A gap of this node waits for the provider's next claim; a longer silence of
// the provider alone counts as one tick, three ticks an hour.
func (s *step) heard(boot uint64) {
	s.OfflineFor = 0
	away := s.now.Sub(s.HeardAt)
	s.HeardAt, s.SaidAt = s.now, s.now
	if s.OwnGap && s.Ready.IsZero() && !s.Accepted.IsZero() {
		s.pend(uint64(max(0, away).Milliseconds())) // Ready may have been missed, in Silent, too
	}
	if !s.Meter.Running || boot <= s.Meter.ProofMS {
		s.OwnGap = false
		return
	}
	d := boot - s.Meter.ProofMS
	switch {
	case s.OwnGap:
		s.pend(d)
		s.Meter.ProofMS = boot
	case d <= s.tickMS():
		s.Meter = s.Meter.Proof(boot, d, s.limitMS())
	default:
		if s.now.Sub(s.GapHour) >= time.Hour {
			s.GapHour, s.GapMS = s.now, 0
		}
		grant := min(s.tickMS(), sub64(3*s.tickMS(), s.GapMS))
		s.GapMS += grant
		s.Meter = s.Meter.Proof(boot, grant, s.limitMS())
	}
	s.OwnGap = false
}

// pend notes an own gap: claims may later lift the own meter by it, but by no more than an honest provider can have
// worked meanwhile: what was signed and one tick.
func (s *step) pend(d uint64) {
	s.PendMS = min(s.PendMS+d, sub64(s.signedMS(), s.Meter.BillableMS)+s.tickMS())
}

// signedMS is the time that the signed amount buys.
func (l Lease) signedMS() uint64 {
	return min(uint64(l.Terms.Rate.Reach(l.Terms.Devices, l.Signed).Milliseconds()), l.limitMS())
}

// fillGap lets the own meter follow a claim through a gap of this node, never above what is signed.
func (s *step) fillGap(claimMS uint64) {
	if to := min(claimMS, s.Meter.BillableMS+s.PendMS, s.signedMS()); to > s.Meter.BillableMS {
		s.PendMS -= to - s.Meter.BillableMS
		s.Meter = s.Meter.Add(to-s.Meter.BillableMS, s.limitMS())
	}
}

func sub64(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}
