package market

import "time"

// NextTimer returns when the lease wants a Timer event; zero: never. It may lie in the past: then at once. It depends
// on the lease alone but for the customer's wake-up mark, which is set from now.
func (l Lease) NextTimer(now time.Time) time.Time {
	if l.Terminal() || l.State == 0 {
		return time.Time{}
	}
	if l.Side == ProviderSide {
		return l.seller(nil).next()
	}
	return l.buyer(nil).next(clean(now))
}

func (s *seller) next() time.Time {
	switch s.State {
	case Preparing:
		return s.Accepted.Add(s.Terms.PrepMax)
	case Running:
		return s.stopBy()
	case Paused:
		t := earliest(s.stopBy(), s.AskedAt.Add(s.repeatEvery()))
		if s.Cause == CauseUnpaid {
			t = earliest(t, s.holdEnds())
		}
		return t
	case Stopping:
		if s.KillAt.IsZero() {
			return s.StopAt.Add(s.Grace)
		}
		return earliest(s.AskedAt.Add(killEvery), s.KillAt.Add(stuckAfter))
	case Releasing:
		return earliest(s.AskedAt.Add(killEvery), s.Since.Add(stuckAfter))
	}
	return s.Since.Add(s.keep())
}

func (s *buyer) next(now time.Time) time.Time {
	t := s.askAt()
	if s.Signed > s.Paid && s.State != Silent {
		t = earliest(t, s.SentAt.Add(s.resendEvery()))
	}
	if s.State.Live() || s.State == Silent || s.State == Closing && !s.LetGo {
		t = earliest(t, now.Add(s.wakeEvery()))
	}
	switch s.State {
	case Proposed:
		return earliest(t, s.lapsesAt())
	case Preparing:
		if at := s.startBy(); at.After(now) || s.late() {
			t = earliest(t, at)
		}
		return earliest(t, s.silentAt())
	case Running, Paused:
		return earliest(t, s.Ready.Add(s.Terms.MaxDuration), s.silentAt())
	case Silent:
		return earliest(t, s.silentEndsAt())
	case Stopping:
		return earliest(t, s.givesUpAt())
	case Closing:
		if !s.LetGo {
			t = earliest(t, s.letsGoAt())
		}
		return earliest(t, s.Since.Add(s.keep()))
	}
	return t
}

// startBy is when the job must be ready.
func (s *buyer) startBy() time.Time { return s.Accepted.Add(s.Terms.StartTimeout) }

// late: the provider itself said after startBy that it still prepares. A node that slept or was away until then does
// not know.
func (s *buyer) late() bool { return !s.SaidAt.Before(s.startBy()) }

// letsGoAt is when the money in Closing waits no longer, whatever the provider still has to bring. One that fell silent
// has the rest of silent_end: its Release is the faster way.
func (s *buyer) letsGoAt() time.Time {
	if s.Code == CodeProviderSilent {
		return s.Since.Add(s.lastChance())
	}
	return s.Since.Add(s.Terms.SilentEnd + s.OfflineFor)
}

// lastChance is the part of silent_end in which a provider that was given up may still end the lease with its customer.
func (s *buyer) lastChance() time.Duration { return s.Terms.SilentEnd / 6 }

// silentEndsAt is when a provider that stays silent is given up.
func (s *buyer) silentEndsAt() time.Time {
	return s.Since.Add(s.Terms.SilentEnd - s.lastChance() + s.OfflineFor)
}

// Heard reports that the provider was heard so lately that it does not count as silent.
func (l Lease) Heard(now time.Time) bool { return now.Before(l.buyer(nil).silentAt()) }

// unheard reports that the provider was not heard for as long as makes a live lease Silent.
func (s *buyer) unheard() bool { return !s.now.Before(s.silentAt()) }

// lapsesAt is when a Proposed lease is given up. A node that was not running when the time was over asks first: it may
// have been accepted.
func (s *buyer) lapsesAt() time.Time {
	at := s.Terms.AcceptUntil
	if s.HeardAt.After(at) {
		at = s.HeardAt
	}
	return at.Add(lapseAfter)
}

// wakeEvery is how often a live lease of the customer wants a Timer at least: a late one shows that this node slept.
func (s *buyer) wakeEvery() time.Duration { return max(s.Terms.Tick/2, time.Second) }

// silentAt is when an unheard provider counts as silent.
func (s *buyer) silentAt() time.Time { return s.HeardAt.Add(max(2*s.Terms.Tick, silentMin)) }

// resendEvery: no acknowledgement for τ/5, at least 200 ms; once the lease is over there is no hurry.
func (s *buyer) resendEvery() time.Duration {
	d := max(s.Terms.Tick/5, 200*time.Millisecond)
	if s.State == Closing {
		d = max(d, s.AskWait)
	}
	return d
}

// askAt is when the provider is asked for its Status again.
func (s *buyer) askAt() time.Time {
	switch s.State {
	case Proposed:
		return s.AskedAt.Add(askPlacing)
	case Silent, Closing:
		return s.AskedAt.Add(s.AskWait)
	case Preparing:
		return s.AskedAt.Add(2 * askPlacing)
	case Stopping:
		return s.AskedAt.Add(askEvery)
	}
	at := s.HeardAt
	if s.AskedAt.After(at) {
		at = s.AskedAt
	}
	return at.Add(min(max(s.Terms.Tick*3/4, askPlacing), askEvery)) // receipts come each τ/2
}

func earliest(t time.Time, more ...time.Time) time.Time {
	for _, m := range more {
		if m.Before(t) {
			t = m
		}
	}
	return t
}

// timer: deadlines of each state, questions and repeats.
func (s *buyer) timer(Event) error {
	if s.Terminal() {
		return nil
	}
	was := s.State
	switch was {
	case Proposed:
		if !s.now.Before(s.lapsesAt()) {
			s.lapse(EvidenceDeadline)
		}
	case Preparing:
		if !s.now.Before(s.startBy()) && s.late() {
			s.end(CodeStartTimeout, EvidenceDeadline, -1, "")
			break
		}
		s.maybeSilent()
	case Running, Paused:
		if !s.now.Before(s.Ready.Add(s.Terms.MaxDuration)) {
			s.end(CodeMaxDuration, EvidenceDeadline, 0, "")
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
			s.to(Ended)
		}
	}
	if s.State == was && !s.now.Before(s.askAt()) {
		s.ask()
	}
	if s.Signed > s.Paid && s.State != Silent && s.State != Ended && s.now.Sub(s.SentAt) >= s.resendEvery() {
		s.repay()
	}
	return nil
}

// ask sends a StatusRequest and what else is repeated with it.
func (s *buyer) ask() {
	s.AskedAt = s.now
	s.AskWait = min(max(askEvery, 2*s.AskWait), askMost)
	if s.State != Preparing {
		s.emit(s.standing()...)
	}
	s.emit(AskStatus{})
}

// maybeSilent: live → Silent; nothing is signed any more.
func (s *buyer) maybeSilent() {
	if s.now.Before(s.silentAt()) {
		return
	}
	s.to(Silent)
	s.AskedAt, s.AskWait, s.OfflineFor = s.now, askEvery, 0
	s.emit(AskStatus{})
}

// silent: Silent, Stopping → Closing without the provider; letGo: without a last minute for it.
func (s *buyer) silent(ev Evidence, letGo bool) {
	s.ends(CodeProviderSilent, CustomerSide, ev, "not heard since "+s.HeardAt.Format(time.DateTime)+" UTC")
	s.LetGo = letGo
	s.closing()
}

// stoppingSince is since when the lease is Stopping.
func (s *buyer) stoppingSince() time.Time {
	if s.StopAt.IsZero() {
		return s.Since
	}
	return s.StopAt
}

// givesUpAt is when a Stop waits no longer for a provider that is unheard: the grace and a minute, or a last question
// where it was silent when the Stop was asked for.
func (s *buyer) givesUpAt() time.Time {
	asked := s.stoppingSince()
	if !s.silentAt().After(asked) {
		return asked.Add(stopSilent)
	}
	at := asked.Add(s.Grace + stopWait + s.OfflineFor)
	if s.silentAt().After(at) {
		return s.silentAt()
	}
	return at
}

// maybeGiveUp: Stopping → Closing when the provider does not answer, or never comes to an end.
func (s *buyer) maybeGiveUp() {
	if !s.now.Before(s.givesUpAt()) || !s.now.Before(s.stoppingSince().Add(s.Terms.SilentEnd+s.OfflineFor)) {
		s.silent(EvidenceDeadline, true)
	}
}
