package market

import "time"

// NewProviderLease is a lease just accepted at now: Preparing, unbilled until PrepMax is over.
func NewProviderLease(id LeaseID, t Terms, now time.Time) Lease {
	return Lease{ID: id, Side: ProviderSide, State: Preparing, Terms: t, Accepted: now, PrepUntil: now.Add(t.PrepMax), ReceiptSeq: 1}
}

// applyProvider is the provider's table. Tree:
//
//	Preparing -JobReady-> Running | Paused(unpaid, prepaid tick due)   -PrepFailed, StopAsked, Timer, Restarted(new boot)-> Releasing
//	Running -unpaid-> Paused   -cap, time, StopAsked-> Stopping   -JobExited, JobLost-> Releasing
//	Paused -PaymentStored-> Running   -hold over-> Releasing   -StopAsked-> Stopping, or Releasing if unpaid
//	Stopping -JobExited, grace over and gone-> Releasing -JobGone-> Closing -Agreed, keep over-> Ended
func (l Lease) applyProvider(ev Event, now time.Time) (Lease, []Effect, error) {
	switch e := ev.(type) {
	case PaymentStored:
		return l.takePayment(e, now)
	case Restarted:
		return l.restarted(e, now)
	case Timer:
		return l.providerTimer(now)
	}
	switch l.State {
	case Preparing:
		return l.preparing(ev, now)
	case Running, Paused, Stopping:
		return l.working(ev, now)
	case Releasing:
		if _, ok := ev.(JobGone); ok {
			return l.toClosing(now)
		}
	case Closing:
		switch e := ev.(type) {
		case OutputsHashed:
			l.Root, l.HasRoot = e.Root, true
			return l, []Effect{SendStatus{}}, nil
		case Agreed:
			return l.toEnded(now)
		}
	}
	return l, nil, ErrIllegal
}

func (l Lease) preparing(ev Event, now time.Time) (Lease, []Effect, error) {
	switch e := ev.(type) {
	case JobReady:
		l.Ready = now
		l.State = Running
		l.Meter = l.Meter.Start(e.BootMS)
		if l.overdue() { // the prepaid tick of a stranger
			return l.pause("unpaid", e.BootMS, now)
		}
		return l.say(now)
	case PrepFailed:
		return l.release(e.Code, e.Fault, e.Detail)
	case JobExited:
		return l.release(e.Code, e.Fault, e.Detail)
	case JobLost:
		return l.release(e.Code, e.Fault, e.Detail)
	case StopAsked:
		return l.release(e.Code, e.Fault, "")
	}
	return l, nil, ErrIllegal
}

func (l Lease) working(ev Event, now time.Time) (Lease, []Effect, error) {
	switch e := ev.(type) {
	case JobSeen:
		if l.State == Paused {
			return l, nil, ErrIllegal
		}
		if !l.Meter.Open { // the first proof after a pause opens the meter again
			l.Meter = l.Meter.Start(e.BootMS)
			return l, nil, nil
		}
		l.Meter = l.Meter.Proof(e.BootMS, l.tickMS())
		return l.checkMoney(e.BootMS, now)
	case JobExited:
		if l.State != Paused {
			l.Meter = l.Meter.Stop(e.BootMS, l.tickMS())
		}
		l.Exit = e.Exit
		if l.State == Stopping { // the reason to stop came first
			return l.release(l.Code, l.Fault, e.Detail)
		}
		return l.release(e.Code, e.Fault, e.Detail)
	case JobLost:
		l.Meter = l.Meter.Stop(0, l.tickMS())
		return l.release(e.Code, e.Fault, e.Detail)
	case StopAsked:
		if l.State == Stopping {
			if !e.Kill {
				return l, nil, ErrIllegal
			}
			return l.release(l.Code, l.Fault, l.Detail)
		}
		if l.State == Paused || e.Kill { // grace would be unpaid work
			l.Meter = l.Meter.Stop(0, l.tickMS())
			return l.release(e.Code, e.Fault, "")
		}
		return l.stop(e.Code, e.Fault, now)
	}
	return l, nil, ErrIllegal
}

// overdue reports that a whole tick, less the margin, is unpaid.
func (l Lease) overdue() bool { u := l.Unpaid(); return u > 0 && u >= l.freezeAt() }

// checkMoney is what follows from a grown meter: a receipt, a freeze, or the end in order.
func (l Lease) checkMoney(boot uint64, now time.Time) (Lease, []Effect, error) {
	if l.overdue() {
		if l.State == Stopping {
			l.Meter = l.Meter.Stop(boot, l.tickMS())
			return l.release(l.Code, l.Fault, l.Detail)
		}
		return l.pause("unpaid", boot, now)
	}
	tail := l.price(uint64((l.Terms.StopGrace + l.Terms.Tick).Milliseconds()))
	if l.State == Running {
		switch {
		case l.Owed()+tail >= l.Terms.Cap && l.Terms.Rate > 0:
			return l.stop("cap-reached", FaultCustomer, now)
		case now.Sub(l.Ready) >= l.Terms.MaxDuration-l.Terms.StopGrace:
			return l.stop("max-duration", FaultCustomer, now)
		}
	}
	if fresh := l.Owed() - min(l.Claim, l.Owed()); fresh > 0 && 2*fresh >= l.TickPrice() {
		return l.say(now)
	}
	return l, nil, nil
}

// say sends the state and a Receipt with a new number.
func (l Lease) say(now time.Time) (Lease, []Effect, error) {
	l.ReceiptSeq++
	l.Claim = max(l.Claim, l.Owed())
	return l, []Effect{SendReceipt{l.receipt(now)}, SendStatus{}}, nil
}

func (l Lease) pause(cause string, boot uint64, now time.Time) (Lease, []Effect, error) {
	l.Meter = l.Meter.Stop(boot, l.tickMS())
	l.State, l.Cause, l.PausedAt = Paused, cause, now
	return l.say(now)
}

func (l Lease) stop(code string, f Fault, now time.Time) (Lease, []Effect, error) {
	l.State, l.Code, l.Fault, l.Stopped = Stopping, code, f, now
	return l.say(now)
}

// release ends the work: no process may live. What is owed is the meter as it stands, 0 if the job never was Ready.
func (l Lease) release(code string, f Fault, detail string) (Lease, []Effect, error) {
	l.Meter = l.Meter.Stop(0, l.tickMS())
	if l.Code == "" || l.State != Stopping {
		l.Code, l.Fault, l.Detail = code, f, detail
	}
	if l.Fault == 0 {
		l.Fault = FaultUnknown
	}
	if l.State == Paused {
		l.Cause = ""
	}
	l.State = Releasing
	return l, []Effect{SendStatus{}}, nil
}

func (l Lease) toClosing(now time.Time) (Lease, []Effect, error) {
	l.State, l.Closed = Closing, now
	l.ReceiptSeq++
	l.Claim = max(l.Claim, l.Owed())
	return l, []Effect{FreeDevices{}, SendReceipt{l.receipt(now)}, MakeOutcome{}, SendStatus{}}, nil
}

func (l Lease) toEnded(now time.Time) (Lease, []Effect, error) {
	l.State, l.Ended = Ended, now
	eff := []Effect{EndChannelShare{l.Owed()}, Cleanup{}, SendStatus{}}
	if owed := l.Owed(); l.Paid < owed {
		eff = append(eff, KeepDebt{owed - l.Paid})
	}
	return l, eff, nil
}

// takePayment lowers U; a paused lease runs again once at most half a tick is unpaid. Debts of an ended lease are paid the same way.
func (l Lease) takePayment(e PaymentStored, now time.Time) (Lease, []Effect, error) {
	if l.State < Preparing || l.State > Ended {
		return l, nil, ErrIllegal
	}
	l.Paid = min(max(l.Paid, e.LeaseAmount), l.Terms.Cap)
	if l.State == Paused && l.Cause == "unpaid" && 2*l.Unpaid() <= int64(l.TickPrice()) {
		l.Held += now.Sub(l.PausedAt)
		l.State, l.Cause = Running, ""
		return l, []Effect{SendStatus{}}, nil // the meter opens with the next JobSeen
	}
	return l, nil, nil
}

// restarted adopts after the node was down: same boot goes on (the next proof bills at most one tick of the gap), another boot ends it.
func (l Lease) restarted(e Restarted, now time.Time) (Lease, []Effect, error) {
	if l.State > Closing || l.State < Preparing {
		return l, nil, ErrIllegal
	}
	if !e.SameBoot && l.State.Live() {
		l.Meter = l.Meter.Rebase()
		l.Exit = -1
		return l.release("rig-restarted", FaultProvider, "the rig was restarted")
	}
	if l.State == Closing {
		return l, []Effect{MakeOutcome{}}, nil
	}
	if l.State == Releasing || l.State == Preparing || l.State == Paused {
		return l, []Effect{WantJob{}}, nil
	}
	return l, []Effect{WantJob{}, SendReceipt{l.receipt(now)}, SendStatus{}}, nil
}

func (l Lease) providerTimer(now time.Time) (Lease, []Effect, error) {
	due := l.NextTimer()
	if due.IsZero() || now.Before(due) {
		return l, nil, ErrIllegal
	}
	switch l.State {
	case Preparing:
		return l.release("start-timeout", FaultNone, "the preparation took longer than prep_max")
	case Paused:
		l.Held += now.Sub(l.PausedAt)
		return l.release("payment-overdue", FaultCustomer, "unpaid for the whole hold")
	case Closing:
		return l.toEnded(now)
	}
	return l, nil, ErrIllegal
}
