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
func (c Common) price(d time.Duration) Amount {
	a, err := c.Terms.Rate.For(c.Terms.Devices, d)
	if err != nil {
		return ^Amount(0)
	}
	return a
}

// Owed is the price of what is metered, on the customer's side of its own meter.
func (c Common) Owed() Amount { return c.price(ms(c.Meter.BillableMS)) }

func ms(n uint64) time.Duration {
	const most = 1 << 46
	return time.Duration(min(n, most)) * time.Millisecond
}

// Limit is the most that the lease can cost: the lower of cap and budget.
func (c Common) Limit() Amount { return min(c.Terms.Cap, c.Terms.Budget) }

// limitMS is where the meter stops for good: the limit in money or max_duration.
func (c Common) limitMS() uint64 {
	d := c.Terms.MaxDuration
	if c.Terms.Rate > 0 {
		d = min(d, c.Terms.Rate.Reach(c.Terms.Devices, c.Limit()))
	}
	return uint64(d.Milliseconds())
}

// tickPrice is τ in money: at least one unit of what is not free, or rounding alone would look like a dispute.
func (c Common) tickPrice() Amount {
	p := c.price(c.Terms.Tick)
	if p == 0 && c.Terms.Rate > 0 {
		return 1
	}
	return p
}

func (c Common) tickMS() uint64 { return uint64(c.Terms.Tick.Milliseconds()) }

// stopGrace is the grace that fits into the terms: at most half of the longest time.
func (c Common) stopGrace() time.Duration { return min(c.Terms.StopGrace, c.Terms.MaxDuration/2) }

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

// unpaid is U: owed − paid, plus one tick with prepay, as far as the limit allows one; 0 when paid ahead. Provider's
// side.
func (s *seller) unpaid() Amount {
	u := s.Owed()
	if s.Terms.Prepay && !s.Ready.IsZero() {
		u = max(u, min(add(u, s.tickPrice()), s.Limit()))
	}
	return sub(u, s.Paid)
}

// mustFreeze: U ≥ τ − max(50 ms, τ/20).
func (s *seller) mustFreeze() bool {
	u := s.unpaid()
	return u > 0 && u >= s.price(s.Terms.Tick-max(minMargin, s.Terms.Tick/20))
}

// mayResume: U ≤ ½ τ.
func (s *seller) mayResume() bool { return s.unpaid() <= s.price(s.Terms.Tick/2) }

// receiptDue: N ≥ ½ τ, and again each τ/5 while no Payment answers; but also each τ/2 of time, as a sign of life: at a
// rate so low that half a tick rounds to nothing, the customer's own meter would else starve.
func (s *seller) receiptDue(now time.Time) bool {
	if s.Meter.Running && now.Sub(s.ClaimAt) >= s.Terms.Tick/2 {
		return true
	}
	owed, half := s.Owed(), s.price(s.Terms.Tick/2)
	if n := sub(owed, s.Answered); n == 0 || n < half {
		return false
	}
	return owed > s.Claim && sub(owed, s.Claim) >= half || now.Sub(s.ClaimAt) >= s.Terms.Tick/5
}

// ProbeEvery is how often JobSeen is wanted: often enough that a freeze comes before a whole tick is unpaid.
func (c Common) ProbeEvery() time.Duration {
	return min(max(c.Terms.Tick/40, minMargin), 250*time.Millisecond)
}

// receipt makes the next Receipt.
func (s *seller) receipt() {
	s.ReceiptSeq++
	s.Claim, s.ClaimMS, s.ClaimPausedMS, s.ClaimUnobservedMS = s.Owed(), s.Meter.BillableMS, s.Meter.PausedMS,
		s.Meter.UnobservedMS
	s.ClaimState, s.ClaimAt, s.Final = s.State, s.now, s.State >= Releasing
}

// LastReceipt returns the newest Receipt made (provider) or taken (customer); Seq 0: none. It is what to repeat.
func (c Common) LastReceipt() Receipt {
	return Receipt{
		Lease: c.ID, Seq: c.ReceiptSeq, BillableMS: c.ClaimMS, PausedMS: c.ClaimPausedMS,
		UnobservedMS: c.ClaimUnobservedMS,
		Amount:       c.Claim, State: c.ClaimState, Wall: c.ClaimAt, Final: c.Final,
	}
}

// atRisk is the away allowance: what may be signed beyond the claim so that a sleeping customer does not stop its job;
// 0 until Terms.AwayAfter is paid to this provider, earlier leases included. Customer's side.
func (s *buyer) atRisk() Amount {
	if s.Terms.Away == 0 || add(s.Signed, s.price(ms(s.Terms.PriorMS))) < s.price(s.Terms.AwayAfter) {
		return 0
	}
	return min(s.price(s.Terms.Away), s.Terms.AwayMax, sub(s.Limit(), s.Claim))
}

// ahead is the larger of the prepaid tick and the away allowance.
func (s *buyer) ahead() Amount {
	a := s.atRisk()
	if s.Terms.Prepay {
		a = max(a, s.tickPrice())
	}
	return a
}

// trusted is the most that the own meter lets the customer sign: own + max(τ, ahead). The last claim may be a little
// above: a job ends, and is frozen, between two looks. A provider that was silent may have worked one tick more than
// could be heard.
func (s *buyer) trusted() Amount {
	a := add(s.Owed(), max(s.tickPrice(), s.ahead()))
	if !s.Final {
		return a
	}
	a = add(a, s.price(max(s.Terms.Tick/4, overshoot)))
	if s.Code == CodeProviderSilent {
		a = add(a, s.tickPrice())
	}
	return a
}

// payable is what to sign now: the lower of own + max(τ, ahead) and claim + ahead, below all hard caps, never less than
// before.
func (s *buyer) payable() Amount {
	ahead := Amount(0)
	if !s.Final && (s.State == Running || s.State == Paused) {
		ahead = s.ahead()
	}
	a := min(s.trusted(), add(s.Claim, ahead), s.Limit(), s.price(ms(s.limitMS())))
	if s.Funds > 0 {
		a = min(a, s.Funds)
	}
	return max(s.Signed, a)
}

// pay signs what is payable, in answer to a Receipt. An unchanged amount is repeated at most each τ/5.
func (s *buyer) pay(answer bool) {
	a := s.payable()
	if a == 0 || a == s.Signed && !answer && s.now.Sub(s.SentAt) < s.Terms.Tick/5 {
		return
	}
	s.Signed = a
	s.repay()
	s.topUp()
}

// topUp asks once per deposit for more when four fifths of it are signed.
func (s *buyer) topUp() {
	if s.Funds > 0 && s.Funds < s.Limit() && s.Signed >= s.Funds/5*4 && s.ToppedAt != s.Funds {
		s.ToppedAt = s.Funds
		s.emit(TopUp{}) // of another deposit than the last one
	}
}

// heard counts the own meter up to boot. A gap of this node waits for the provider's next claim; a longer silence of
// the provider alone counts as one tick, three ticks an hour.
func (s *buyer) heard(boot uint64) {
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
		s.Meter = s.Meter.Proof(boot, s.unheardWork(d), s.limitMS())
	}
	s.OwnGap = false
}

// unheardWork is what of d counts though the provider was not heard meanwhile: one tick, three ticks an hour.
func (s *buyer) unheardWork(d uint64) uint64 {
	if s.now.Sub(s.GapHour) >= time.Hour {
		s.GapHour, s.GapMS = s.now, 0
	}
	d = min(d, s.tickMS(), sub64(3*s.tickMS(), s.GapMS))
	s.GapMS += d
	return d
}

// resumed lets the own meter follow a claim that has grown since a pause: the word that the job goes on was lost.
func (s *buyer) resumed(claimMS uint64) {
	if s.State == Paused && claimMS > max(s.ClaimMS, s.Meter.BillableMS) {
		d := min(claimMS-max(s.ClaimMS, s.Meter.BillableMS), uint64(max(0, s.now.Sub(s.Since)).Milliseconds()))
		s.Meter = s.Meter.Add(s.unheardWork(d), s.limitMS())
	}
}

// pend notes an own gap: claims may later lift the own meter by it, but by no more than an honest provider can have
// worked meanwhile: what was signed and one tick.
func (s *buyer) pend(d uint64) {
	s.PendMS = min(s.PendMS+d, sub64(s.signedMS(), s.Meter.BillableMS)+s.tickMS())
}

// signedMS is the time that the signed amount buys.
func (s *buyer) signedMS() uint64 {
	return min(uint64(s.Terms.Rate.Reach(s.Terms.Devices, s.Signed).Milliseconds()), s.limitMS())
}

// fillGap lets the own meter follow a claim through a gap of this node, never above what is signed.
func (s *buyer) fillGap(claimMS uint64) {
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
