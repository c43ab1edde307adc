package market

import "time"

// Limits of ending, provider's side: a SIGKILL is repeated each killEvery; after stuckAfter the device is quarantined.
const (
	killEvery  = 10 * time.Second
	stuckAfter = time.Minute
	keepPaid   = 24 * time.Hour
	keepUnpaid = time.Hour
)

var (
	inLive   = []LeaseState{Preparing, Running, Paused, Stopping}
	inSince2 = []LeaseState{Preparing, Running, Paused, Stopping, Releasing, Closing, Ended}
)

// providerTable: which event is legal where; each rule documents its edges.
var providerTable = [numKinds]rule[*seller]{
	kAccepted:      {[]LeaseState{0}, (*seller).accepted},
	kPrepStep:      {[]LeaseState{Preparing}, (*seller).prepStep},
	kJobReady:      {[]LeaseState{Preparing}, (*seller).ready},
	kPrepFailed:    {[]LeaseState{Preparing}, (*seller).prepFailed},
	kJobSeen:       {inLive, (*seller).seen},
	kJobExited:     {[]LeaseState{Preparing, Running, Paused, Stopping, Releasing}, (*seller).exited},
	kJobGone:       {[]LeaseState{Running, Paused, Stopping, Releasing}, (*seller).gone},
	kEngineSilent:  {inLive, (*seller).engineSilent},
	kDeviceLost:    {[]LeaseState{Preparing, Running, Paused, Stopping, Releasing}, (*seller).deviceLost},
	kDeviceBusy:    {[]LeaseState{Paused}, (*seller).deviceBusy},
	kDevicesClear:  {[]LeaseState{Releasing}, (*seller).clear},
	kPayment:       {inSince2, (*seller).payment},
	kHeadroom:      {inLive, (*seller).headroom},
	kChainBlind:    {inLive, (*seller).chainBlind},
	kChainSeen:     {inLive, (*seller).chainSeen},
	kOutputsHashed: {[]LeaseState{Releasing, Closing}, (*seller).outputsHashed},
	kOutputsServed: {[]LeaseState{Closing}, (*seller).served},
	kStop:          {inSince2, (*seller).stopAsked},
	kChainClosing:  {inSince2, (*seller).chainClosing},
	kRestarted:     {inSince2, (*seller).restarted},
	kOutcome:       {[]LeaseState{Closing, Ended}, (*seller).outcome},
	kTimer:         {inSince2, (*seller).timer},
	kCapRaised:     {[]LeaseState{Preparing, Running, Paused}, (*seller).capRaised},
}

// to enters a state, and tells the customer.
func (s *seller) to(st LeaseState) {
	if s.State == Paused && s.Cause == CauseUnpaid {
		s.UnpaidPause += max(0, s.now.Sub(s.Since))
	}
	s.enter(st, s.now)
	s.emit(SendStatus{})
}

// 0 → Preparing.
func (s *seller) accepted(Event) error {
	s.Accepted = s.now
	s.to(Preparing)
	return nil
}

func (s *seller) prepStep(ev Event) error {
	e := ev.(PrepStep)
	if e.Phase != s.Phase || short(e.Detail) != s.Words {
		s.Phase, s.Words = e.Phase, short(e.Detail)
		s.emit(SendStatus{})
	}
	return nil
}

// Preparing → Running; with prepay → Paused(unpaid) until the first Payment.
func (s *seller) ready(ev Event) error {
	s.Ready, s.Phase, s.Words = s.now, "", ""
	s.Meter = s.Meter.Open(ev.(JobReady).BootMS)
	s.to(Running)
	if s.mustFreeze() {
		s.freeze(CauseUnpaid)
		return nil
	}
	s.receipt()
	return nil
}

// Preparing → Releasing, owes 0.
func (s *seller) prepFailed(ev Event) error {
	e := ev.(PrepFailed)
	s.ends(e.Code, ProviderSide, EvidenceMeasured, e.Detail)
	if e.Fault != 0 {
		s.Fault = e.Fault
	}
	s.release()
	return nil
}

// Running, Stopping: the meter runs. Paused(runtime) → Running.
func (s *seller) seen(ev Event) error {
	at := ev.(JobSeen).BootMS
	if s.State == Paused && s.Cause == CauseRuntime {
		s.to(Running)
		s.Meter = s.Meter.Open(at)
		s.receipt()
	}
	switch {
	case s.State == Running && !s.Meter.Running:
		s.Meter = s.Meter.Open(at)
	case s.State == Running, s.State == Stopping && s.KillAt.IsZero():
		s.Meter = s.Meter.Proof(at, s.tickMS(), s.limitMS())
	}
	s.check()
	return nil
}

// check applies the limits of money and time to Running and Stopping.
func (s *seller) check() {
	owed, limit := s.Owed(), s.Limit()
	switch {
	case s.State == Running && !s.now.Before(s.stopBy()):
		s.stop(CodeMaxDuration, CustomerSide, EvidenceDeadline, 0, "")
	case s.State == Running && s.Terms.Rate > 0 && add(owed, min(s.price(s.stopGrace()), limit/2)) >= limit:
		s.stop(CodeCapReached, CustomerSide, EvidenceDeadline, 0, "")
	case s.State == Running && s.mustFreeze():
		s.freeze(CauseUnpaid)
	case s.State == Stopping && s.KillAt.IsZero() &&
		(s.mustFreeze() || !s.now.Before(s.StopAt.Add(s.Grace)) || s.Meter.BillableMS >= s.limitMS()):
		s.kill()
	case (s.State == Running || s.State == Stopping) && s.receiptDue(s.now):
		s.receipt()
	}
}

// stopBy is when a job must be asked to stop so that its grace fits into max_duration.
func (s *seller) stopBy() time.Time { return s.Ready.Add(s.Terms.MaxDuration - s.stopGrace()) }

// freeze: Running → Paused; the meter closes at the last proof.
func (s *seller) freeze(cause string) {
	s.Meter = s.Meter.Close()
	s.to(Paused)
	s.Cause = cause
	s.AskedAt = s.now
	s.receipt()
}

// stop: Running, Paused → Stopping; Preparing, Paused(unpaid) → Releasing; a second one only shortens the grace.
func (s *seller) stop(code Code, by Side, ev Evidence, grace time.Duration, detail string) {
	g := s.graceOf(grace)
	switch {
	case s.State == Stopping:
		if left := s.StopAt.Add(s.Grace).Sub(s.now); g < left {
			s.Grace = max(0, s.now.Sub(s.StopAt)+g)
		}
		return
	case s.State == Preparing || s.State == Paused && s.Cause == CauseUnpaid:
		s.ends(code, by, ev, detail)
		s.release()
		return
	}
	s.ends(code, by, ev, detail)
	s.to(Stopping)
	s.StopAt, s.Grace = s.now, g
	if g == 0 {
		s.kill()
	}
	s.receipt()
}

// graceOf maps a request to what the terms allow: 0 = theirs, negative = none.
func (c Common) graceOf(asked time.Duration) time.Duration {
	if asked < 0 {
		return 0
	}
	if asked == 0 {
		return c.stopGrace()
	}
	return min(asked, c.stopGrace())
}

func (s *seller) kill() {
	s.Meter = s.Meter.Close()
	s.KillAt, s.AskedAt = s.now, s.now
}

// release: live → Releasing; what is owed is final.
func (s *seller) release() {
	s.Meter = s.Meter.Close()
	s.to(Releasing)
	s.Ended, s.AskedAt = s.now, s.now
	s.receipt()
}

// Preparing, Running, Paused, Stopping → Releasing; there JobGone confirms that nothing of the job is left.
func (s *seller) exited(ev Event) error {
	e := ev.(JobExited)
	if !s.Exited {
		s.Exited, s.Exit = true, e.Exit
	}
	if s.State == Releasing {
		s.Gone = true
		return nil
	}
	if e.BootMS != 0 && (s.State == Running || s.State == Stopping) {
		s.Meter = s.Meter.Proof(e.BootMS, s.tickMS(), s.limitMS())
	}
	code := e.Code
	switch {
	case code != "":
	case e.OOM && e.Exit != 0:
		code = CodeJobOOM
	case e.Exit == 0:
		code = CodeCompleted
	default:
		code = CodeJobFailed
	}
	s.ends(code, ProviderSide, EvidenceMeasured, e.Detail)
	s.release()
	return nil
}

// Running, Paused → Releasing (container-lost); Stopping → Releasing.
func (s *seller) gone(Event) error {
	s.Gone = true
	if s.State != Releasing {
		s.ends(CodeContainerLost, ProviderSide, EvidenceMeasured, "")
		s.release()
	}
	return nil
}

// Running → Paused(runtime).
func (s *seller) engineSilent(Event) error {
	if s.State == Running {
		s.freeze(CauseRuntime)
	}
	return nil
}

// live → Releasing, billed to the last proof.
func (s *seller) deviceLost(ev Event) error {
	s.Quarantine = true
	if s.State.Live() {
		s.ends(CodeDeviceLost, ProviderSide, EvidenceMeasured, ev.(DeviceLost).Detail)
		s.release()
	}
	return nil
}

func (s *seller) deviceBusy(Event) error {
	if s.Cause == CauseUnpaid && s.now.Sub(s.Since) >= s.Terms.Tick {
		s.overdue()
	}
	return nil
}

// overdue: Paused(unpaid) → Releasing without grace, which would be unpaid work.
func (s *seller) overdue() {
	s.ends(CodePaymentOverdue, CustomerSide, EvidenceOverdue, "")
	s.release()
	s.debt()
}

// debt keeps the debt at what is unpaid.
func (s *seller) debt() { s.Debt = sub(s.Owed(), s.Paid) }

// Releasing → Closing.
func (s *seller) clear(Event) error {
	if !s.Gone {
		return ErrIllegal
	}
	s.closing()
	return nil
}

func (s *seller) closing() {
	s.to(Closing)
	s.OutputsDone = s.Ready.IsZero()
}

// Paused(unpaid) → Running when U ≤ ½ τ; a late Payment of an ended lease clears its debt.
func (s *seller) payment(ev Event) error {
	e := ev.(PaymentStored)
	s.Paid = max(s.Paid, e.LeaseAmount)
	if e.ReceiptSeq == s.ReceiptSeq {
		s.Answered = s.Claim
	} else {
		s.Answered = max(s.Answered, min(s.Claim, e.LeaseAmount))
	}
	if s.Debt > 0 {
		s.debt()
	}
	if s.State == Paused && s.Cause == CauseUnpaid && s.mayResume() {
		s.resume()
	}
	return nil
}

// resume: Paused → Running; the meter opens at the next proof.
func (s *seller) resume() {
	s.to(Running)
	s.receipt()
}

// Running, Paused → Stopping when the deposit no longer carries an orderly stop.
func (s *seller) headroom(ev Event) error {
	left := ev.(HeadroomSeen).Left
	need := min(s.price(s.stopGrace()+s.Terms.Tick), sub(s.funded(), s.Owed()))
	if (s.State == Running || s.State == Paused) && left < need {
		s.stop(CodeChannelLow, CustomerSide, EvidenceFinalised, 0, "")
	}
	return nil
}

// Running → Paused(chain).
func (s *seller) chainBlind(Event) error {
	if s.State == Running {
		s.freeze(CauseChain)
	}
	return nil
}

// Paused(chain) → Running.
func (s *seller) chainSeen(Event) error {
	if s.State == Paused && s.Cause == CauseChain {
		s.resume()
	}
	return nil
}

func (s *seller) outputsHashed(ev Event) error {
	s.hashed(ev.(OutputsHashed).Root)
	return nil
}

// hashed notes outputs_root; an Outcome signed without it is signed anew.
func (s *seller) hashed(root [32]byte) {
	if root == s.OutputsRoot || root == ([32]byte{}) {
		return
	}
	s.OutputsRoot = root
	if s.State == Closing {
		s.emit(SignOutcome{})
	}
}

// Closing → Ended if the Outcome is agreed too.
func (s *seller) served(ev Event) error {
	s.hashed(ev.(OutputsServed).Root)
	s.OutputsDone = true
	return s.maybeEnd()
}

func (s *seller) outcome(ev Event) error {
	if s.State == Ended {
		return nil
	}
	s.OutcomeDone, s.KeepChannel = true, ev.(OutcomeAgreed).KeepChannel
	return s.maybeEnd()
}

func (s *seller) maybeEnd() error {
	if s.OutcomeDone && s.OutputsDone {
		s.end()
	}
	return nil
}

// end: Closing → Ended.
func (s *seller) end() {
	s.to(Ended)
	s.debt()
	s.emit(ClaimNow{}) // again: what an overdue lease owes may have become less
}
