package market

import "time"

// live: see stop; later: the answer is the Status.
func (s *step) pStop(ev Event) error {
	e := ev.(StopAsked)
	if !s.State.Live() {
		s.emit(SendStatus{})
		return nil
	}
	code, evidence := e.Code, EvidenceSigned
	if e.By == ProviderSide {
		evidence = EvidenceOperator
	}
	if code == "" && e.By == ProviderSide {
		code = CodeProviderStop
	} else if code == "" {
		code = CodeStopped
	}
	s.stop(code, e.By, evidence, e.Grace, e.Detail)
	return nil
}

// live → Releasing.
func (s *step) pChainClosing(Event) error {
	if s.State.Live() {
		s.ends(CodeChannelClosing, CustomerSide, EvidenceFinalised, "")
		s.release()
	}
	s.emit(ClaimNow{})
	return nil
}

// live, another boot → Releasing (rig-restarted); else all standing effects are repeated.
func (s *step) pRestarted(ev Event) error {
	if s.State.Live() && !ev.(Restarted).SameBoot {
		s.ends(CodeRigRestarted, ProviderSide, EvidenceMeasured, "")
		s.release()
		return nil
	}
	if s.State == Paused && s.Cause == CauseUnpaid {
		s.Since, s.AskedAt = s.now, s.now // nobody could pay while this node was away: the hold begins anew
	}
	if s.State != Ended {
		phase, grace := s.Want()
		if s.State == Stopping && grace > 0 {
			grace = max(0, s.StopAt.Add(grace).Sub(s.now))
		}
		s.emit(WantJob{Phase: phase, Grace: grace})
	}
	s.newSeq()
	if s.Debt > 0 {
		s.emit(DebtRow{Sum: s.Debt})
	}
	switch s.State {
	case Closing:
		s.emit(FreeDevices{Quarantine: s.Quarantine}, SignOutcome{})
	case Ended:
		s.emit(FreeDevices{Quarantine: s.Quarantine}) // it may have ended before they were
		if !s.KeepChannel {
			s.emit(SignRelease{})
		}
		s.emit(RemoveFiles{})
	}
	s.emit(SendStatus{})
	return nil
}

// newSeq numbers Receipts from the time on: this store may be an older copy, and no number may stand under two
// Receipts. The last one is repeated under a new number.
func (s *step) newSeq() {
	had := !s.ClaimAt.IsZero()
	s.ReceiptSeq = max(s.ReceiptSeq, uint64(max(0, s.now.UnixMilli())))
	if had {
		s.ReceiptSeq++
		s.ClaimAt = s.now
		s.emit(SendReceipt{Receipt: s.LastReceipt()})
	}
}

// Deadlines of each state.
func (s *step) pTimer(Event) error {
	switch s.State {
	case Preparing:
		if !s.now.Before(s.Accepted.Add(s.Terms.PrepMax)) {
			s.ends(s.lateCode(), ProviderSide, EvidenceDeadline, s.Words)
			s.release()
		}
	case Running:
		s.check()
	case Paused:
		s.pPausedTimer()
	case Stopping:
		s.pStoppingTimer()
	case Releasing:
		if s.now.Sub(s.Since) >= stuckAfter {
			s.Quarantine = true
			s.closing()
		} else if s.now.Sub(s.AskedAt) >= killEvery {
			s.AskedAt = s.now
			s.emit(WantJob{Phase: WantGone})
		}
	case Closing:
		if !s.now.Before(s.Since.Add(s.keep())) {
			s.end()
		}
	}
	return nil
}

// lateCode is the end of a preparation whose time is up: by its step, and by whether somebody refused that step.
func (l Lease) lateCode() Code {
	switch {
	case l.Phase == "inputs":
		return CodeInputStalled
	case l.Phase == "start":
		return CodeStartTimeout
	case l.Phase == "create":
		return CodeEngineError
	case l.Words != "":
		return CodeRegistryUnreachable
	}
	return CodeImageStalled
}

func (s *step) pPausedTimer() {
	switch {
	case s.Cause == CauseUnpaid && !s.now.Before(s.holdEnds()):
		s.overdue()
	case !s.now.Before(s.stopBy()):
		s.stop(CodeMaxDuration, CustomerSide, EvidenceDeadline, 0, "")
	case s.now.Sub(s.AskedAt) >= s.repeatEvery():
		s.AskedAt = s.now
		s.emit(SendReceipt{Receipt: s.LastReceipt()})
	}
}

func (s *step) pStoppingTimer() {
	switch {
	case s.KillAt.IsZero():
		s.check()
	case s.now.Sub(s.KillAt) >= stuckAfter:
		s.Quarantine = true
		s.release()
	case s.now.Sub(s.AskedAt) >= killEvery:
		s.AskedAt = s.now
		s.emit(WantJob{Phase: WantGone})
	}
}

// repeatEvery is how often the last Receipt of a frozen lease is sent again.
func (l Lease) repeatEvery() time.Duration { return max(l.Terms.Tick/2, time.Second) }

// holdEnds is when an unpaid pause ends the lease.
func (l Lease) holdEnds() time.Time {
	return l.Since.Add(min(l.Terms.Hold, max(0, maxUnpaidPause-l.UnpaidPause)))
}

// keep is how long Closing waits for the other side.
func (l Lease) keep() time.Duration {
	switch {
	case l.Terms.Keep > 0:
		return l.Terms.Keep
	case l.Side == ProviderSide && l.Owed() > l.Paid:
		return keepUnpaid
	}
	return keepPaid
}
