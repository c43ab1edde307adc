package market

import "time"

// NextTimer returns when the lease wants a Timer event; zero: never. It may lie in the past: then at once. It depends
// on the lease alone but for the customer's wake-up mark, which is set from now.
func (l Lease) NextTimer(now time.Time) time.Time {
	if l.Terminal() || l.State == 0 {
		return time.Time{}
	}
	if l.Side == ProviderSide {
		return l.pNext()
	}
	return l.cNext(clean(now))
}

func (l Lease) pNext() time.Time {
	switch l.State {
	case Preparing:
		return l.Accepted.Add(l.Terms.PrepMax)
	case Running:
		return l.stopBy()
	case Paused:
		t := earliest(l.stopBy(), l.AskedAt.Add(l.repeatEvery()))
		if l.Cause == CauseUnpaid {
			t = earliest(t, l.holdEnds())
		}
		return t
	case Stopping:
		if l.KillAt.IsZero() {
			return l.StopAt.Add(l.Grace)
		}
		return earliest(l.AskedAt.Add(killEvery), l.KillAt.Add(stuckAfter))
	case Releasing:
		return earliest(l.AskedAt.Add(killEvery), l.Since.Add(stuckAfter))
	}
	return l.Since.Add(l.keep())
}

func (l Lease) cNext(now time.Time) time.Time {
	t := l.askAt()
	if l.Signed > l.Paid && l.State != Silent {
		t = earliest(t, l.SentAt.Add(l.resendEvery()))
	}
	if l.State.Live() || l.State == Silent || l.State == Closing && !l.LetGo {
		t = earliest(t, now.Add(l.wakeEvery()))
	}
	switch l.State {
	case Proposed:
		return earliest(t, l.lapsesAt())
	case Preparing:
		if at := l.startBy(); at.After(now) || l.late() {
			t = earliest(t, at)
		}
		return earliest(t, l.silentAt())
	case Running, Paused:
		return earliest(t, l.Ready.Add(l.Terms.MaxDuration), l.silentAt())
	case Silent:
		return earliest(t, l.silentEndsAt())
	case Stopping:
		return earliest(t, l.givesUpAt())
	case Closing:
		if !l.LetGo {
			t = earliest(t, l.letsGoAt())
		}
		return earliest(t, l.Since.Add(l.keep()))
	}
	return t
}

// startBy is when the job must be ready.
func (l Lease) startBy() time.Time { return l.Accepted.Add(l.Terms.StartTimeout) }

// late: the provider itself said after startBy that it still prepares. A node that slept or was away until then does
// not know.
func (l Lease) late() bool { return !l.SaidAt.Before(l.startBy()) }

// letsGoAt is when the money in Closing waits no longer, whatever the provider still has to bring. One that fell silent
// has the rest of silent_end: its Release is the faster way.
func (l Lease) letsGoAt() time.Time {
	if l.Code == CodeProviderSilent {
		return l.Since.Add(l.lastChance())
	}
	return l.Since.Add(l.Terms.SilentEnd + l.OfflineFor)
}

// lastChance is the part of silent_end in which a provider that was given up may still end the lease with its customer.
func (l Lease) lastChance() time.Duration { return l.Terms.SilentEnd / 6 }

// silentEndsAt is when a provider that stays silent is given up.
func (l Lease) silentEndsAt() time.Time {
	return l.Since.Add(l.Terms.SilentEnd - l.lastChance() + l.OfflineFor)
}

// Heard reports that the provider was heard so lately that it does not count as silent.
func (l Lease) Heard(now time.Time) bool { return now.Before(l.silentAt()) }

// unheard reports that the provider was not heard for as long as makes a live lease Silent.
func (s *step) unheard() bool { return !s.now.Before(s.silentAt()) }

// lapsesAt is when a Proposed lease is given up. A node that was not running when the time was over asks first: it may
// have been accepted.
func (l Lease) lapsesAt() time.Time {
	at := l.Terms.AcceptUntil
	if l.HeardAt.After(at) {
		at = l.HeardAt
	}
	return at.Add(lapseAfter)
}

// wakeEvery is how often a live lease of the customer wants a Timer at least: a late one shows that this node slept.
func (l Lease) wakeEvery() time.Duration { return max(l.Terms.Tick/2, time.Second) }

// silentAt is when an unheard provider counts as silent.
func (l Lease) silentAt() time.Time { return l.HeardAt.Add(max(2*l.Terms.Tick, silentMin)) }

// resendEvery: no acknowledgement for τ/5, at least 200 ms; once the lease is over there is no hurry.
func (l Lease) resendEvery() time.Duration {
	d := max(l.Terms.Tick/5, 200*time.Millisecond)
	if l.State == Closing {
		d = max(d, l.AskWait)
	}
	return d
}

// askAt is when the provider is asked for its Status again.
func (l Lease) askAt() time.Time {
	switch l.State {
	case Proposed:
		return l.AskedAt.Add(askPlacing)
	case Silent, Closing:
		return l.AskedAt.Add(l.AskWait)
	case Preparing:
		return l.AskedAt.Add(2 * askPlacing)
	case Stopping:
		return l.AskedAt.Add(askEvery)
	}
	at := l.HeardAt
	if l.AskedAt.After(at) {
		at = l.AskedAt
	}
	return at.Add(min(max(l.Terms.Tick*3/4, askPlacing), askEvery)) // receipts come each τ/2
}

func earliest(t time.Time, more ...time.Time) time.Time {
	for _, m := range more {
		if m.Before(t) {
			t = m
		}
	}
	return t
}

// cTimer: deadlines of each state, questions and repeats.
func (s *step) cTimer(Event) error {
	if s.Terminal() {
		return nil
	}
	if !s.now.Before(s.askAt()) {
		s.ask()
	}
	switch s.State {
	case Proposed:
		if !s.now.Before(s.lapsesAt()) {
			s.lapse(EvidenceDeadline)
		}
	case Preparing:
		if !s.now.Before(s.startBy()) && s.late() {
			s.cEnd(CodeStartTimeout, EvidenceDeadline, -1, "")
			break
		}
		s.maybeSilent()
	case Running, Paused:
		if !s.now.Before(s.Ready.Add(s.Terms.MaxDuration)) {
			s.cEnd(CodeMaxDuration, EvidenceDeadline, 0, "")
			break
		}
		s.maybeSilent()
	case Stopping:
		s.maybeGiveUp()
	case Silent:
		if !s.now.Before(s.silentEndsAt()) {
			s.silent(EvidenceDeadline, false)
		}
	case Closing:
		s.LetGo = s.LetGo || !s.now.Before(s.letsGoAt())
		if !s.now.Before(s.Since.Add(s.keep())) {
			s.cOver()
			return nil
		}
	}
	if s.Signed > s.Paid && s.State != Silent && s.State != Ended && s.now.Sub(s.SentAt) >= s.resendEvery() {
		s.repay()
	}
	return nil
}

// ask sends a StatusRequest and what else is repeated with it.
func (s *step) ask() {
	s.AskedAt = s.now
	s.AskWait = min(max(askEvery, 2*s.AskWait), askMost)
	switch s.State {
	case Proposed:
		s.emit(SendLease{})
	case Stopping:
		if s.PeerState < Releasing && s.Code != "" && !s.StopAt.IsZero() {
			s.emit(SendStop{Code: s.Code, Grace: s.Grace})
		}
	case Closing:
		if !s.OutputsDone {
			s.emit(FetchOutputs{})
		}
		if s.Final && !s.OutcomeDone {
			s.emit(SendOutcome{})
		}
	}
	s.emit(AskStatus{})
}

// maybeSilent: live → Silent; nothing is signed any more.
func (s *step) maybeSilent() {
	if s.now.Before(s.silentAt()) {
		return
	}
	s.to(Silent)
	s.AskedAt, s.AskWait, s.OfflineFor = s.now, askEvery, 0
	s.emit(AskStatus{})
}

// silent: Silent, Stopping → Closing without the provider; letGo: without a last minute for it.
func (s *step) silent(ev Evidence, letGo bool) {
	s.ends(CodeProviderSilent, CustomerSide, ev, "not heard since "+s.HeardAt.Format(time.DateTime)+" UTC")
	s.LetGo = letGo
	s.cClosing()
}

// stopAsked is since when the lease is Stopping.
func (l Lease) stopAsked() time.Time {
	if l.StopAt.IsZero() {
		return l.Since
	}
	return l.StopAt
}

// givesUpAt is when a Stop waits no longer for a provider that is unheard: the grace and a minute, or a last question
// where it was silent when the Stop was asked for.
func (l Lease) givesUpAt() time.Time {
	asked := l.stopAsked()
	if !l.silentAt().After(asked) {
		return asked.Add(stopSilent)
	}
	at := asked.Add(l.Grace + stopWait + l.OfflineFor)
	if l.silentAt().After(at) {
		return l.silentAt()
	}
	return at
}

// maybeGiveUp: Stopping → Closing when the provider does not answer, or never comes to an end.
func (s *step) maybeGiveUp() {
	if !s.now.Before(s.givesUpAt()) || !s.now.Before(s.stopAsked().Add(s.Terms.SilentEnd+s.OfflineFor)) {
		s.silent(EvidenceDeadline, true)
	}
}
