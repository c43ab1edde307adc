package market

import "time"

// live: see stop; later: the answer is the Status.
func (s *seller) stopAsked(ev Event) error {
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
func (s *seller) chainClosing(Event) error {
	if s.State.Live() {
		s.ends(CodeChannelClosing, CustomerSide, EvidenceFinalised, "")
		s.release()
	}
	s.emit(ClaimNow{})
	return nil
}

// live, another boot → Releasing (rig-restarted). Receipts are numbered from the time on: this store may be an older
// copy, and no number may stand under two Receipts. The last one is repeated under a new number.
func (s *seller) restarted(ev Event) error {
	s.ReceiptSeq = max(s.ReceiptSeq, uint64(max(0, s.now.UnixMilli())))
	switch {
	case s.State.Live() && !ev.(Restarted).SameBoot:
		s.ends(CodeRigRestarted, ProviderSide, EvidenceMeasured, "")
		s.release()
		return nil
	case s.State == Paused && s.Cause == CauseUnpaid:
		s.Since, s.AskedAt = s.now, s.now // nobody could pay while this node was away: the hold begins anew
	}
	if !s.ClaimAt.IsZero() {
		s.ReceiptSeq++
		s.ClaimAt = s.now
	}
	return nil
}

// Deadlines of each state.
func (s *seller) timer(Event) error {
	switch s.State {
	case Preparing:
		if !s.now.Before(s.Accepted.Add(s.Terms.PrepMax)) {
			s.ends(s.lateCode(), ProviderSide, EvidenceDeadline, s.Words)
			s.release()
		}
	case Running:
		s.check()
	case Paused:
		s.pausedTimer()
	case Stopping:
		s.stoppingTimer()
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
func (s *seller) lateCode() Code {
	switch {
	case s.Phase == "inputs":
		return CodeInputStalled
	case s.Phase == "start":
		return CodeStartTimeout
	case s.Phase == "create":
		return CodeEngineError
	case s.Words != "":
		return CodeRegistryUnreachable
	}
	return CodeImageStalled
}

func (s *seller) pausedTimer() {
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

func (s *seller) stoppingTimer() {
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
func (s *seller) repeatEvery() time.Duration { return max(s.Terms.Tick/2, time.Second) }

// holdEnds is when an unpaid pause ends the lease.
func (s *seller) holdEnds() time.Time {
	return s.Since.Add(min(s.Terms.Hold, max(0, maxUnpaidPause-s.UnpaidPause)))
}

// keep is how long Closing waits for the other side.
func (c Common) keep() time.Duration {
	switch {
	case c.Terms.Keep > 0:
		return c.Terms.Keep
	case c.Side == ProviderSide && c.Owed() > c.Paid:
		return keepUnpaid
	}
	return keepPaid
}
