package market

import (
	"slices"
	"time"
)

// NewCustomerLease is a Lease about to be sent: Proposed until the provider decides.
func NewCustomerLease(id LeaseID, t Terms, now time.Time) Lease {
	return Lease{ID: id, Side: CustomerSide, State: Proposed, Terms: t, HeardAt: now, Accepted: now}
}

// applyCustomer is the customer's table. Tree:
//
//	Proposed -accepted-> Preparing   -refused-> Refused   -accept_until over-> Lapsed
//	Preparing, Running, Paused, Stopping -Status-> the provider's state   -unheard-> Silent   -StopAsked-> Stopping
//	Silent -heard-> the provider's state   -30 min-> Closing
//	Closing -OutputsVerified-> Closing -Agreed, 24 h-> Ended
func (l Lease) applyCustomer(ev Event, now time.Time) (Lease, []Effect, error) {
	switch e := ev.(type) {
	case DecisionSeen:
		return l.decided(e, now)
	case StatusSeen:
		if e.Status.Lease == l.ID && l.follows() {
			return l.heard(e, now)
		}
	case ReceiptSeen:
		if e.Receipt.Lease == l.ID && (l.follows() || l.State == Closing) {
			return l.takeReceipt(e, now)
		}
	case StopAsked:
		if l.State == Preparing || l.State == Running || l.State == Paused || l.State == Silent || l.State == Stopping && e.Kill {
			return l.askStop(e.Code, e.Fault, now)
		}
	case OutputsVerified:
		if l.State == Closing {
			l.Root, l.HasRoot = e.Root, true
			return l, nil, nil
		}
	case Agreed:
		if l.State == Closing {
			l.State, l.Ended = Ended, now
			return l, []Effect{EndChannelShare{l.Claim}, FinishChannel{}}, nil
		}
	case Timer:
		return l.customerTimer(now)
	}
	return l, nil, ErrIllegal
}

// follows reports that the provider's Status moves this lease.
func (l Lease) follows() bool { return l.State.Live() || l.State == Silent }

func (l Lease) decided(e DecisionSeen, now time.Time) (Lease, []Effect, error) {
	if l.State != Proposed {
		return l, nil, ErrIllegal
	}
	l.HeardAt = now
	if !e.Accepted {
		l.State, l.Code, l.Detail, l.Fault = Refused, e.Code, e.Detail, FaultNone
		return l, nil, nil
	}
	l.State, l.PeerState, l.Accepted = Preparing, Preparing, now
	return l, nil, nil
}

// heard moves to the provider's state and counts own time while it says Running.
func (l Lease) heard(e StatusSeen, now time.Time) (Lease, []Effect, error) {
	s := e.Status
	if s.State < Preparing || s.State > Ended {
		return l, nil, ErrIllegal
	}
	l = l.count(s.State, e.BootMS, e.Away, now)
	if l.Code == "" && s.State >= Stopping {
		l.Code, l.Detail = s.Cause, s.Detail
	}
	l.Exit = s.ExitCode
	firstReady := l.Ready.IsZero() && (s.State == Running || s.State == Paused)
	if firstReady {
		l.Ready = now
		if !sameDevices(s.Devices, l.Terms.Devices) {
			return l.askStop("not-as-quoted", FaultProvider, now)
		}
	}
	if l.State == Stopping && s.State < Stopping {
		return l, []Effect{SendStop{l.Code}}, nil // it has not heard us yet
	}
	l.Cause = ""
	switch s.State {
	case Releasing:
		l.State = Stopping
	case Closing, Ended:
		return l.toClosingCustomer(now)
	case Paused:
		l.State, l.Cause = Paused, s.Cause
	default:
		l.State = s.State
	}
	return l, nil, nil
}

// count adds own time and remembers what the provider says now.
func (l Lease) count(peer LeaseState, boot uint64, away bool, now time.Time) Lease {
	runs := peer == Running || peer == Stopping
	l.Meter = l.Meter.Own(boot, l.tickMS(), uint64(l.silence().Milliseconds()), l.ClaimMS, away)
	l.Meter.Open = runs
	l.PeerState, l.HeardAt = peer, now
	if l.State == Silent {
		l.State = Running // the caller sets the provider's word
	}
	return l
}

func (l Lease) toClosingCustomer(now time.Time) (Lease, []Effect, error) {
	l.State, l.Closed = Closing, now
	if l.Fault == 0 {
		l.Fault = FaultUnknown // the Outcome says it
	}
	return l, []Effect{MakeOutcome{}}, nil
}

func (l Lease) askStop(code string, f Fault, now time.Time) (Lease, []Effect, error) {
	l.State, l.Code, l.Fault, l.Stopped = Stopping, code, f, now
	return l, []Effect{SendStop{code}}, nil
}

// takeReceipt signs what the rules allow: min(own + max(tick, ahead), claim + ahead), at most the cap, never less than before.
func (l Lease) takeReceipt(e ReceiptSeen, now time.Time) (Lease, []Effect, error) {
	r := e.Receipt
	if r.Seq < l.ReceiptSeq || r.BillableMS < l.ClaimMS || r.Amount != min(l.price(r.BillableMS), l.Terms.Cap) {
		return l.dispute("", now)
	}
	if l.follows() {
		l = l.count(r.State, e.BootMS, e.Away, now)
		if l.State == Running && r.State == Paused {
			l.State, l.Cause = Paused, "unpaid"
		}
	}
	l.ReceiptSeq, l.ClaimMS, l.Claim = r.Seq, r.BillableMS, r.Amount
	own := min(l.price(l.Meter.BillableMS), l.Terms.Cap)
	ahead := l.ahead()
	if r.Final || l.State == Closing {
		ahead = 0
	}
	bound := own + max(l.TickPrice(), ahead)
	if r.Amount > bound {
		return l.dispute("meter-dispute", now)
	}
	l.Disputes = 0
	sign := max(min(bound, r.Amount+ahead, l.Terms.Cap), l.Paid)
	l.Paid = sign
	return l, []Effect{Pay{LeaseAmount: sign, OwnMS: l.Meter.BillableMS, ReceiptSeq: r.Seq}}, nil
}

// ahead is what may be signed beyond the claim: the prepaid tick, or the away allowance once this provider was paid for 2 minutes.
func (l Lease) ahead() (a Amount) {
	if l.Terms.Prepay {
		a = l.TickPrice()
	}
	if l.Terms.PriorMS+l.ClaimMS >= awayAfterMS {
		a = max(a, l.Terms.Away)
	}
	return a
}

// dispute counts claims that cannot be signed as they are: what the own meter allows is still signed; three in a row end the lease.
func (l Lease) dispute(code string, now time.Time) (Lease, []Effect, error) {
	l.Disputes++
	eff := []Effect{AskStatus{}}
	if code != "" {
		own := min(l.price(l.Meter.BillableMS)+max(l.TickPrice(), l.ahead()), l.Terms.Cap)
		if sign := min(own, l.Claim); sign > l.Paid {
			l.Paid = sign
			eff = append(eff, Pay{LeaseAmount: sign, OwnMS: l.Meter.BillableMS, ReceiptSeq: l.ReceiptSeq})
		}
	}
	if l.Disputes >= 3 && l.State.Live() && l.State != Stopping {
		next, more, err := l.askStop("meter-dispute", FaultUnknown, now)
		return next, append(eff, more...), err
	}
	return l, eff, nil
}

func (l Lease) customerTimer(now time.Time) (Lease, []Effect, error) {
	due := l.NextTimer()
	if due.IsZero() || now.Before(due) {
		return l, nil, ErrIllegal
	}
	switch l.State {
	case Proposed:
		l.State, l.Code, l.Fault = Lapsed, "never-used", FaultNone
		return l, []Effect{SendStop{"never-used"}}, nil
	case Silent:
		l.Code, l.Fault = "provider-silent", FaultProvider
		return l.toClosingCustomer(now)
	case Closing:
		l.State, l.Ended = Ended, now
		return l, []Effect{EndChannelShare{l.Claim}, FinishChannel{}}, nil
	}
	l.State = Silent
	l.Meter.Open = false
	return l, []Effect{AskStatus{}}, nil
}

func sameDevices(got, want []DeviceID) bool {
	if len(got) != len(want) {
		return false
	}
	for _, d := range want {
		if !slices.Contains(got, d) {
			return false
		}
	}
	return true
}
