package market

import "time"

// Limits of the customer's side: how long a provider may be unheard, how often it is asked, how many bad receipts in a
// row end a lease.
const (
	silentMin  = 15 * time.Second
	askEvery   = 5 * time.Second
	askMost    = 30 * time.Second
	askPlacing = time.Second
	lapseAfter = 5 * time.Second
	stopWait   = time.Minute
	stopSilent = 10 * time.Second
	disputeAt  = 3
	awakeSlack = time.Second
)

var (
	cHeard = []LeaseState{Proposed, Preparing, Running, Paused, Stopping, Closing, Ended, Refused, Lapsed, Silent}
	cMoney = []LeaseState{Preparing, Running, Paused, Stopping, Closing, Ended, Silent}
)

// customerTable: which event is legal where. The customer is never in Releasing: the provider's shows as Stopping.
var customerTable = [numKinds]rule[*buyer]{
	kPlaced:          {[]LeaseState{0}, (*buyer).placed},
	kDecision:        {cHeard, (*buyer).decision},
	kStatus:          {cHeard, (*buyer).status},
	kReceipt:         {cMoney, (*buyer).receipt},
	kHeard:           {cHeard, (*buyer).heardOf},
	kPaymentAcked:    {cMoney, (*buyer).acked},
	kFunds:           {cMoney, (*buyer).funds},
	kOutputsVerified: {[]LeaseState{Closing}, (*buyer).outputs},
	kCloseNow:        {[]LeaseState{Closing}, (*buyer).closeNow},
	kStop:            {cHeard, (*buyer).stopAsked},
	kChainClosing:    {cHeard, (*buyer).chainClosing},
	kRestarted:       {cHeard, (*buyer).restarted},
	kOutcome:         {[]LeaseState{Closing, Ended}, (*buyer).outcome},
	kVoucher:         {cMoney, (*buyer).voucher},
	kUnknown:         {cMoney, (*buyer).unknown},
	kCapAsked:        {[]LeaseState{Preparing, Running, Paused, Silent}, (*buyer).capAsked},
	kCapAnswered:     {cMoney, (*buyer).capAnswered},
	kTimer:           {cHeard, (*buyer).timer},
}

func (s *buyer) to(st LeaseState) { s.enter(st, s.now) }

// awake notices own gaps: a node that was suspended sees its boot clock jump between two events.
func (s *buyer) awake(ev Event) {
	var boot uint64
	offline := false
	switch e := ev.(type) {
	case StatusSeen:
		boot = e.BootMS
	case ReceiptSeen:
		boot = e.BootMS
	case Heard:
		boot = e.BootMS
	case Timer:
		boot, offline = e.BootMS, e.Offline
	default:
		return
	}
	d := ms(sub64(boot, s.AwakeMS))
	if s.AwakeMS == 0 { // the first look at the boot clock: the node may have slept since the lease was placed
		d = s.now.Sub(s.HeardAt)
	}
	if d > s.wakeEvery()+awakeSlack || d > 0 && offline {
		s.OwnGap = true
		s.OfflineFor += d
	}
	s.AwakeMS = max(s.AwakeMS, boot)
}

// 0 → Proposed.
func (s *buyer) placed(Event) error {
	s.to(Proposed)
	s.HeardAt, s.AskedAt = s.now, s.now
	return nil
}

// Proposed → Preparing, Refused; a late yes gets a Stop.
func (s *buyer) decision(ev Event) error {
	e := ev.(DecisionSeen)
	switch {
	case s.State == Proposed && e.Accepted:
		s.accepted()
	case s.State == Proposed:
		s.refused(e.Code, e.Detail)
	case s.State == Lapsed && e.Accepted:
		s.emit(SendStop{Code: CodeNeverUsed})
	}
	return nil
}

func (s *buyer) accepted() {
	s.Accepted, s.HeardAt, s.PeerState = s.now, s.now, Preparing
	s.to(Preparing)
}

func (s *buyer) refused(code Code, detail string) {
	s.ends(code, ProviderSide, EvidenceSigned, detail)
	s.to(Refused)
}

// Proposed → Preparing, Refused; live, Silent → the provider's state.
func (s *buyer) status(ev Event) error {
	e := ev.(StatusSeen)
	st := e.Status
	switch {
	case st.State == Refused && s.State == Proposed:
		s.refused(Code(st.Cause), st.Detail)
		return nil
	case st.State < Preparing || st.State > Ended:
		return nil // the provider does not know the lease (yet)
	case s.State == Proposed:
		s.accepted()
	case s.State == Lapsed && st.State.Live():
		s.emit(SendStop{Code: CodeNeverUsed})
		return nil
	}
	s.heard(e.BootMS)
	s.UnknownAt = time.Time{}
	s.remind(st.HighestVoucher)
	if st.State >= Releasing {
		s.Exit = st.ExitCode
		s.overruled(Code(st.Cause), st.Detail)
	}
	if s.State.Live() && st.Phase != "" {
		s.Phase = st.Phase
	}
	if e.Ran {
		s.ran()
	}
	if e.WrongDevices && st.State >= Running && s.Code == "" {
		s.ran()
		s.end(CodeNotAsQuoted, EvidenceSigned, 0, "devices differ from the quote")
	}
	s.follow(st.State, st.Cause, st.Detail, e.BootMS)
	if s.State == Closing && st.State >= Closing && s.Code == "" && st.Cause != "" {
		s.ends(Code(st.Cause), ProviderSide, EvidenceSigned, st.Detail)
	}
	return nil
}

// ran notes that the job was ready: the provider says that it runs, or its signed documents say that it did while
// nobody here listened.
func (s *buyer) ran() {
	if !s.Ready.IsZero() || s.Accepted.IsZero() {
		return
	}
	s.Ready, s.Phase = s.now, ""
	if !s.Ended.IsZero() {
		s.Ready = s.Ended
	}
}

// overruled: an own request that the job's end was faster than is not why it ended.
func (s *buyer) overruled(cause Code, detail string) {
	switch s.Code {
	case CodeIdleStop, CodeOrderExpired:
		if cause == CodeStopped { // what a provider calls every wish of its customer
			return
		}
		fallthrough
	case CodeStopped, CodeMaxDuration, CodeStartTimeout:
		if cause != "" && cause != s.Code {
			s.Code = ""
			s.ends(cause, ProviderSide, EvidenceSigned, detail)
		}
	}
}

// follow takes the provider's state over. Closing and terminal states stay.
func (s *buyer) follow(st LeaseState, cause, detail string, boot uint64) {
	if !s.State.Live() && s.State != Silent {
		return
	}
	s.PeerState = st
	if st >= Running && st <= Stopping {
		s.ran()
	}
	if s.State == Stopping && st < Closing { // an own Stop stands, whatever is heard meanwhile
		s.metered(st, boot)
		return
	}
	s.metered(st, boot)
	switch st {
	case Preparing:
		if s.Ready.IsZero() && s.State != Preparing {
			s.to(Preparing)
		}
	case Running:
		if s.State != Running {
			s.to(Running)
		}
	case Paused:
		if s.State != Paused {
			s.to(Paused)
		}
		if s.Cause = cause; cause == "" {
			s.Cause = CauseUnpaid
		}
	case Stopping, Releasing:
		if s.State != Stopping {
			s.to(Stopping)
		}
		if cause != "" {
			s.ends(Code(cause), ProviderSide, EvidenceSigned, detail)
		}
	case Closing, Ended:
		if cause != "" {
			s.ends(Code(cause), ProviderSide, EvidenceSigned, detail)
		}
		s.closing()
	}
}

// metered opens the own meter while the provider says that the job runs.
func (s *buyer) metered(st LeaseState, boot uint64) {
	if (st == Running || st == Stopping) && s.Fault != FaultProvider {
		s.Meter = s.Meter.Open(boot)
		return
	}
	s.Meter = s.Meter.Close()
}

func (s *buyer) heardOf(ev Event) error {
	s.heard(ev.(Heard).BootMS)
	if s.State == Silent {
		s.emit(AskStatus{})
	}
	return nil
}

// live, Closing, Silent: checks a Receipt and signs what §tick allows; three bad ones in a row: Stopping,
// meter-dispute.
func (s *buyer) receipt(ev Event) error {
	e := ev.(ReceiptSeen)
	r := e.Receipt
	if s.State == Ended {
		s.emit(SendOutcome{})
		return nil
	}
	s.heard(e.BootMS)
	later := clean(r.Wall).After(s.ClaimAt)
	if r.Seq < s.ReceiptSeq && !later {
		return nil // overtaken by a newer one
	}
	if r.Seq == s.ReceiptSeq && r.Amount > s.Claim && !later {
		s.end(CodeEquivocation, EvidenceSigned, -1, "two receipts with one number")
		return nil
	}
	owed, err := s.Terms.Rate.For(s.Terms.Devices, ms(r.BillableMS))
	if err != nil || owed != r.Amount || r.BillableMS < s.ClaimMS && !later && r.Seq != s.ReceiptSeq || r.Seq == 0 {
		s.bad(&s.Bad)
		s.emit(AskStatus{})
		return nil
	}
	s.Bad = 0
	if r.BillableMS < s.ClaimMS || r.Seq < s.ReceiptSeq {
		r = s.putBack(r)
	}
	isNew := r.Seq != s.ReceiptSeq
	if r.BillableMS > 0 {
		s.ran()
	}
	s.resumed(r.BillableMS)
	s.follow(r.State, "", "", e.BootMS)
	if r.Seq > s.ReceiptSeq && r.State >= Paused && r.State <= Closing || s.State == Silent {
		s.emit(AskStatus{}) // for the cause; the answer repeats the Receipt, which asks no more
	}
	s.ReceiptSeq, s.Claim, s.ClaimMS, s.ClaimPausedMS, s.ClaimUnobservedMS = r.Seq, r.Amount, r.BillableMS, r.PausedMS,
		r.UnobservedMS
	s.ClaimState, s.ClaimAt = r.State, clean(r.Wall)
	s.Final = s.Final || r.Final
	s.fillGap(r.BillableMS)
	switch over := r.Amount > min(s.trusted(), s.Limit()); {
	case !over:
		s.Over = 0
	case isNew: // a repeat claims nothing more
		s.bad(&s.Over)
	}
	s.pay(isNew)
	return nil
}

// bad counts what is wrong; the third in a row ends the lease in a dispute.
func (s *buyer) bad(n *uint8) {
	if *n < disputeAt {
		*n++
	}
	if *n >= disputeAt && (s.State.Live() || s.State == Silent) && s.State != Stopping {
		s.end(CodeMeterDispute, EvidenceMeasured, 0, "")
	}
}

// end: live, Silent → Stopping with a Stop. grace as in StopAsked.
func (s *buyer) end(code Code, ev Evidence, grace time.Duration, detail string) {
	if !s.State.Live() && s.State != Silent {
		return
	}
	s.ends(code, CustomerSide, ev, detail)
	if s.State != Stopping {
		s.to(Stopping)
	}
	s.StopAt, s.AskedAt, s.Grace = s.now, s.now, s.graceOf(grace)
	s.emit(s.standing()...) // also where the same Stop was sent before
}

// closing: live, Silent → Closing. Whether there are outputs is what the provider's signed Outcome says, not what was
// heard of the job.
func (s *buyer) closing() {
	s.Meter = s.Meter.Close()
	s.to(Closing)
	s.Ended, s.AskedAt, s.AskWait = s.now, s.now, time.Second
	s.emit(AskStatus{})
}

func (s *buyer) acked(ev Event) error {
	s.Paid = max(s.Paid, min(ev.(PaymentAcked).LeaseAmount, s.Signed))
	return nil
}

func (s *buyer) funds(ev Event) error {
	s.Funds = ev.(FundsSeen).LeaseMax
	s.topUp()
	return nil
}

// Closing → Ended if the Outcome is agreed too.
func (s *buyer) outputs(ev Event) error {
	e := ev.(OutputsVerified)
	s.OutputsDone, s.OutputsRoot = true, e.Root
	if e.Lost {
		s.Code, s.Fault, s.Evidence = CodeOutputLost, FaultProvider, EvidenceMeasured
	}
	return s.maybeEnd()
}

func (s *buyer) outcome(ev Event) error {
	if s.State == Ended {
		return nil
	}
	s.OutcomeDone, s.KeepChannel = true, ev.(OutcomeAgreed).KeepChannel
	return s.maybeEnd()
}

func (s *buyer) maybeEnd() error {
	if s.OutcomeDone && s.OutputsDone {
		s.to(Ended)
	}
	return nil
}

func (s *buyer) closeNow(Event) error {
	s.to(Ended)
	return nil
}

// Proposed → Lapsed; live, Silent → Stopping; the provider's own Stop needs no answer. A second one of the user's does
// not wait for a provider that is unheard: Stopping → Closing, and in Closing the money is let go.
func (s *buyer) stopAsked(ev Event) error {
	e := ev.(StopAsked)
	code := e.Code
	switch {
	case s.State == Proposed && e.By == CustomerSide:
		s.lapse(EvidenceOperator)
	case s.State == Closing && e.By == CustomerSide:
		s.LetGo = s.LetGo || s.Final || s.unheard()
	case s.State == Stopping && e.By == CustomerSide && s.unheard():
		s.silent(EvidenceOperator, true)
	case !s.State.Live() && s.State != Silent:
	case e.By == ProviderSide:
		if code == "" {
			code = CodeProviderStop
		}
		s.ends(code, ProviderSide, EvidenceSigned, e.Detail)
		if s.State != Stopping {
			s.to(Stopping)
			s.AskedAt, s.Grace = s.now, s.graceOf(e.Grace) // no StopAt: it needs no Stop of ours
		}
	default:
		if code == "" {
			code = CodeStopped
		}
		s.end(code, EvidenceOperator, e.Grace, e.Detail)
	}
	return nil
}

// lapse: Proposed → Lapsed.
func (s *buyer) lapse(ev Evidence) {
	s.ends(CodeNeverUsed, CustomerSide, ev, "")
	s.to(Lapsed)
}

func (s *buyer) chainClosing(Event) error {
	s.end(CodeChannelClosing, EvidenceFinalised, 0, "")
	return nil
}

// Any state; the time away waits for the next claim.
func (s *buyer) restarted(ev Event) error {
	e := ev.(Restarted)
	if s.Meter.Running {
		s.pend(uint64(max(0, s.now.Sub(s.HeardAt)).Milliseconds()))
		s.Meter.ProofMS = e.BootMS
	}
	s.AwakeMS, s.OwnGap = e.BootMS, false
	if s.State != Silent {
		s.HeardAt = s.now
	}
	s.AskedAt = s.now
	if s.Signed > s.Paid {
		s.SentAt = s.now
	}
	if s.State != Proposed && !s.Terminal() {
		s.emit(AskStatus{})
	}
	return nil
}

// repay sends the last Payment.
func (s *buyer) repay() {
	s.SentAt = s.now
	s.emit(SignPayment{LeaseAmount: s.Signed, ReceiptSeq: s.ReceiptSeq})
}
