package market

import "slices"

// Due lists what the state asks the node to do until it is done, each an idempotent effect: a pure function of the
// state. An event brings what of it is new; a restart brings all of it.
func (l Lease) Due() []Effect {
	switch {
	case l.State == 0:
		return nil
	case l.Side == CustomerSide:
		return l.buyer(nil).due()
	}
	return l.soldDue()
}

func (l Lease) soldDue() []Effect {
	out := make([]Effect, 0, 8)
	if phase, grace := l.Want(); l.State != Ended {
		out = append(out, WantJob{Phase: phase, Grace: grace})
	}
	if !l.ClaimAt.IsZero() {
		out = append(out, SendReceipt{Receipt: l.LastReceipt()})
	}
	if l.State == Closing || l.State == Ended {
		out = append(out, FreeDevices{Quarantine: l.Quarantine})
		if !l.OutcomeDone {
			out = append(out, SignOutcome{})
		}
	}
	if l.State == Ended || l.Code == CodePaymentOverdue || l.Code == CodeChannelClosing {
		out = append(out, ClaimNow{})
	}
	if l.State == Ended {
		if !l.KeepChannel {
			out = append(out, SignRelease{})
		}
		out = append(out, RemoveFiles{})
	}
	return append(out, SendStatus{})
}

// standing is what the customer's state asks for, whatever is paid.
func (s *buyer) standing() []Effect {
	var out []Effect
	switch s.State {
	case Proposed:
		out = append(out, SendLease{})
	case Preparing:
		out = append(out, PushInputs{})
	case Stopping:
		if s.PeerState < Releasing && !s.StopAt.IsZero() {
			out = append(out, SendStop{Code: s.Code, Grace: s.Grace})
		}
	case Closing:
		if !s.OutputsDone {
			out = append(out, FetchOutputs{})
		}
		if s.Final && !s.OutcomeDone {
			out = append(out, SendOutcome{})
		}
	case Lapsed:
		out = append(out, SendStop{Code: CodeNeverUsed})
	}
	return out
}

func (s *buyer) due() []Effect {
	out := s.standing()
	if s.Signed > s.Paid && s.State != Ended {
		out = append(out, SignPayment{LeaseAmount: s.Signed, ReceiptSeq: s.ReceiptSeq})
	}
	if s.Funds > 0 && s.ToppedAt == s.Funds && (s.State.Live() || s.State == Silent) {
		out = append(out, TopUp{})
	}
	if s.CapWanted > 0 && s.State != Ended {
		out = append(out, RaiseCap{Cap: s.CapWanted})
	}
	return out
}

// due adds to what the rule says what is due after the event and was not before; after a restart all that is due.
func (t *turn) due(was, next *Lease, ev Event) []Effect {
	var done []Effect
	if _, restarted := ev.(Restarted); !restarted {
		if same := *was; next.Side == ProviderSide { // a proof, a payment: what is read most often
			same.Meter, same.Paid, same.Answered = next.Meter, next.Paid, next.Answered
			if same == *next {
				return t.eff
			}
		}
		done = was.Due()
	}
	for _, e := range next.Due() {
		if !slices.Contains(done, e) {
			t.emit(e)
		}
	}
	return t.eff
}
