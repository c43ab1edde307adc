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
var providerTable = [numKinds]rule{
	kAccepted:      {[]LeaseState{0}, (*step).pAccepted},
	kPrepStep:      {[]LeaseState{Preparing}, (*step).pPrepStep},
	kJobReady:      {[]LeaseState{Preparing}, (*step).pReady},
	kPrepFailed:    {[]LeaseState{Preparing}, (*step).pPrepFailed},
	kJobSeen:       {inLive, (*step).pSeen},
	kJobExited:     {[]LeaseState{Preparing, Running, Paused, Stopping, Releasing}, (*step).pExited},
	kJobGone:       {[]LeaseState{Running, Paused, Stopping, Releasing}, (*step).pGone},
	kEngineSilent:  {inLive, (*step).pEngineSilent},
	kDeviceLost:    {[]LeaseState{Preparing, Running, Paused, Stopping, Releasing}, (*step).pDeviceLost},
	kDeviceBusy:    {[]LeaseState{Paused}, (*step).pDeviceBusy},
	kDevicesClear:  {[]LeaseState{Releasing}, (*step).pClear},
	kPayment:       {inSince2, (*step).pPayment},
	kHeadroom:      {inLive, (*step).pHeadroom},
	kChainBlind:    {inLive, (*step).pChainBlind},
	kChainSeen:     {inLive, (*step).pChainSeen},
	kOutputsHashed: {[]LeaseState{Releasing, Closing}, (*step).pHashed},
	kOutputsServed: {[]LeaseState{Closing}, (*step).pServed},
	kStop:          {inSince2, (*step).pStop},
	kChainClosing:  {inSince2, (*step).pChainClosing},
	kRestarted:     {inSince2, (*step).pRestarted},
	kOutcome:       {[]LeaseState{Closing, Ended}, (*step).pOutcome},
	kTimer:         {inSince2, (*step).pTimer},
	kCapRaised:     {[]LeaseState{Preparing, Running, Paused}, (*step).pCapRaised},
}

// 0 → Preparing.
func (s *step) pAccepted(Event) error {
	s.Accepted = s.now
	s.to(Preparing)
	s.emit(WantJob{Phase: WantRunning}, SendStatus{})
	return nil
}

func (s *step) pPrepStep(ev Event) error {
	e := ev.(PrepStep)
	if e.Phase != s.Phase || short(e.Detail) != s.Words {
		s.Phase, s.Words = e.Phase, short(e.Detail)
		s.emit(SendStatus{})
	}
	return nil
}

// Preparing → Running; with prepay → Paused(unpaid) until the first Payment.
func (s *step) pReady(ev Event) error {
	s.Ready, s.Phase, s.Words = s.now, "", ""
	s.Meter = s.Meter.Open(ev.(JobReady).BootMS)
	s.to(Running)
	if s.mustFreeze() {
		s.freeze(CauseUnpaid)
		return nil
	}
	s.receipt()
	s.emit(SendStatus{})
	return nil
}

// Preparing → Releasing, owes 0.
func (s *step) pPrepFailed(ev Event) error {
	e := ev.(PrepFailed)
	s.ends(e.Code, ProviderSide, EvidenceMeasured, e.Detail)
	if e.Fault != 0 {
		s.Fault = e.Fault
	}
	s.release()
	return nil
}

// Running, Stopping: the meter runs. Paused(runtime) → Running.
func (s *step) pSeen(ev Event) error {
	at := ev.(JobSeen).BootMS
	if s.State == Paused && s.Cause == CauseRuntime {
		s.to(Running)
		s.Meter = s.Meter.Open(at)
		s.receipt()
		s.emit(SendStatus{})
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
func (s *step) check() {
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
func (l Lease) stopBy() time.Time { return l.Ready.Add(l.Terms.MaxDuration - l.stopGrace()) }

// freeze: Running → Paused; the meter closes at the last proof.
func (s *step) freeze(cause string) {
	s.Meter = s.Meter.Close()
	s.to(Paused)
	s.Cause = cause
	s.AskedAt = s.now
	phase, _ := s.Want()
	s.emit(WantJob{Phase: phase})
	s.receipt()
	s.emit(SendStatus{})
}

// stop: Running, Paused → Stopping; Preparing, Paused(unpaid) → Releasing; a second one only shortens the grace.
func (s *step) stop(code Code, by Side, ev Evidence, grace time.Duration, detail string) {
	g := s.graceOf(grace)
	switch {
	case s.State == Stopping:
		if left := s.StopAt.Add(s.Grace).Sub(s.now); g < left {
			s.Grace = max(0, s.now.Sub(s.StopAt)+g)
			s.emit(WantJob{Phase: WantGone, Grace: g})
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
	} else {
		s.emit(WantJob{Phase: WantGone, Grace: g})
	}
	s.receipt()
	s.emit(SendStatus{})
}

// graceOf maps a request to what the terms allow: 0 = theirs, negative = none.
func (l Lease) graceOf(asked time.Duration) time.Duration {
	if asked < 0 {
		return 0
	}
	if asked == 0 {
		return l.stopGrace()
	}
	return min(asked, l.stopGrace())
}

func (s *step) kill() {
	s.Meter = s.Meter.Close()
	s.KillAt, s.AskedAt = s.now, s.now
	s.emit(WantJob{Phase: WantGone})
}

// release: live → Releasing; what is owed is final.
func (s *step) release() {
	s.Meter = s.Meter.Close()
	s.to(Releasing)
	s.Ended, s.AskedAt = s.now, s.now
	s.emit(WantJob{Phase: WantGone})
	s.receipt()
	s.emit(SendStatus{})
}

// Preparing, Running, Paused, Stopping → Releasing; there JobGone confirms that nothing of the job is left.
func (s *step) pExited(ev Event) error {
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
func (s *step) pGone(Event) error {
	s.Gone = true
	if s.State != Releasing {
		s.ends(CodeContainerLost, ProviderSide, EvidenceMeasured, "")
		s.release()
	}
	return nil
}

// Running → Paused(runtime).
func (s *step) pEngineSilent(Event) error {
	if s.State == Running {
		s.freeze(CauseRuntime)
	}
	return nil
}

// live → Releasing, billed to the last proof.
func (s *step) pDeviceLost(ev Event) error {
	s.Quarantine = true
	if s.State.Live() {
		s.ends(CodeDeviceLost, ProviderSide, EvidenceMeasured, ev.(DeviceLost).Detail)
		s.release()
	}
	return nil
}

func (s *step) pDeviceBusy(Event) error {
	if s.Cause == CauseUnpaid && s.now.Sub(s.Since) >= s.Terms.Tick {
		s.overdue()
	}
	return nil
}

// overdue: Paused(unpaid) → Releasing without grace, which would be unpaid work.
func (s *step) overdue() {
	s.ends(CodePaymentOverdue, CustomerSide, EvidenceOverdue, "")
	s.release()
	s.debt()
	s.emit(ClaimNow{})
}

// debt keeps the debt row at what is unpaid.
func (s *step) debt() {
	if d := sub(s.Owed(), s.Paid); d != s.Debt {
		s.Debt = d
		s.emit(DebtRow{Sum: d})
	}
}

// Releasing → Closing.
func (s *step) pClear(Event) error {
	if !s.Gone {
		return ErrIllegal
	}
	s.closing()
	return nil
}

func (s *step) closing() {
	s.to(Closing)
	s.OutputsDone = s.Ready.IsZero()
	s.emit(FreeDevices{Quarantine: s.Quarantine}, SignOutcome{}, SendStatus{})
}

// Paused(unpaid) → Running when U ≤ ½ τ; a late Payment of an ended lease clears its debt.
func (s *step) pPayment(ev Event) error {
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
func (s *step) resume() {
	s.to(Running)
	s.emit(WantJob{Phase: WantRunning})
	s.receipt()
	s.emit(SendStatus{})
}

// Running, Paused → Stopping when the deposit no longer carries an orderly stop.
func (s *step) pHeadroom(ev Event) error {
	left := ev.(HeadroomSeen).Left
	need := min(s.price(s.stopGrace()+s.Terms.Tick), sub(s.funded(), s.Owed()))
	if (s.State == Running || s.State == Paused) && left < need {
		s.stop(CodeChannelLow, CustomerSide, EvidenceFinalised, 0, "")
	}
	return nil
}

// Running → Paused(chain).
func (s *step) pChainBlind(Event) error {
	if s.State == Running {
		s.freeze(CauseChain)
	}
	return nil
}

// Paused(chain) → Running.
func (s *step) pChainSeen(Event) error {
	if s.State == Paused && s.Cause == CauseChain {
		s.resume()
	}
	return nil
}

func (s *step) pHashed(ev Event) error {
	s.hashed(ev.(OutputsHashed).Root)
	return nil
}

// hashed notes outputs_root; an Outcome signed without it is signed anew.
func (s *step) hashed(root [32]byte) {
	if root == s.OutputsRoot || root == ([32]byte{}) {
		return
	}
	s.OutputsRoot = root
	if s.State == Closing {
		s.emit(SignOutcome{})
	}
}

// Closing → Ended if the Outcome is agreed too.
func (s *step) pServed(ev Event) error {
	s.hashed(ev.(OutputsServed).Root)
	s.OutputsDone = true
	return s.pMaybeEnd()
}

func (s *step) pOutcome(ev Event) error {
	if s.State == Ended {
		return nil
	}
	s.OutcomeDone, s.KeepChannel = true, ev.(OutcomeAgreed).KeepChannel
	return s.pMaybeEnd()
}

func (s *step) pMaybeEnd() error {
	if s.OutcomeDone && s.OutputsDone {
		s.end()
	}
	return nil
}

// end: Closing → Ended.
func (s *step) end() {
	s.to(Ended)
	s.debt()
	s.emit(ClaimNow{})
	if !s.KeepChannel {
		s.emit(SignRelease{})
	}
	s.emit(RemoveFiles{}, SendStatus{})
}
