package market

import (
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market/meter"
)

// ErrIllegal reports an event that the state does not take: nothing has changed. It is normal for a late or repeated peer message.
var ErrIllegal = errors.New("illegal lease event")

// Side tells whose copy of the lease this is.
type Side uint8

// Sides, persisted: append-only.
const (
	ProviderSide Side = iota + 1
	CustomerSide
)

// Limits of a lease that no document may widen (docs/flows/payment.md).
const (
	maxHeld      = 10 * time.Minute // all unpaid pauses of a lease together
	keepOutputs  = 24 * time.Hour
	keepIndebted = time.Hour
	silentEnd    = 30 * time.Minute
	awayAfterMS  = 2 * 60 * 1000 // paid time with a provider before anything is signed ahead
	killAfter    = 60 * time.Second
)

// Terms is what both signed, as the machine needs it.
type Terms struct {
	Rate         Rate
	Devices      []DeviceID
	Tick, Hold   time.Duration
	Prepay       bool
	PrepMax      time.Duration
	MaxDuration  time.Duration
	StopGrace    time.Duration
	StartTimeout time.Duration // customer; 0 = PrepMax
	AcceptUntil  time.Time     // customer
	Cap          Amount
	Away         Amount // customer: allowance signed ahead
	PriorMS      uint64 // customer: paid time with this provider before this lease
	HasOutputs   bool
}

// Lease is the one persisted state machine of a job, on either side. The transition trees are above applyProvider and applyCustomer.
type Lease struct {
	ID     LeaseID
	Side   Side
	State  LeaseState
	Terms  Terms
	Cause  string // why Paused: unpaid, chain, runtime
	Code   string // why it ends
	Fault  Fault
	Detail string

	Accepted, Ready, PausedAt, Stopped, Closed, Ended time.Time
	PrepUntil                                         time.Time
	HeardAt                                           time.Time // customer: provider's last word
	PeerState                                         LeaseState
	Meter                                             meter.Meter
	Held                                              time.Duration
	Paid                                              Amount // provider: durable lease_amount; customer: signed lease_amount
	Claim                                             Amount // provider: owed when the last Payment came; customer: last Receipt's amount
	ClaimMS                                           uint64
	ReceiptSeq                                        uint64
	Disputes                                          int
	Exit                                              int32
	Root                                              [32]byte
	HasRoot                                           bool
}

// Apply is the machine: the new state and what it asks for. On error the lease is unchanged and there are no effects. now is the node
// clock, for deadlines only; billed time comes from boot-clock milliseconds inside events.
// Errors: ErrIllegal; an invariant broken (a bug, never peer input).
func (l Lease) Apply(ev Event, now time.Time) (Lease, []Effect, error) {
	var (
		next Lease
		eff  []Effect
		err  error
	)
	if l.Side == ProviderSide {
		next, eff, err = l.applyProvider(ev, now)
	} else {
		next, eff, err = l.applyCustomer(ev, now)
	}
	if err != nil {
		return l, nil, err
	}
	if err := next.Valid(); err != nil {
		return l, nil, err
	}
	if next.Want() != l.Want() {
		eff = append(eff, WantJob{})
	}
	return next, eff, nil
}

// Valid checks the invariants that hold in every state.
func (l Lease) Valid() error {
	switch {
	case l.Paid > l.Terms.Cap:
		return fmt.Errorf("lease %s: paid %d above cap %d", l.ID, l.Paid, l.Terms.Cap)
	case l.State < Proposed || l.State > Silent:
		return fmt.Errorf("lease %s: state %d", l.ID, l.State)
	case l.State == Running && l.Ready.IsZero():
		return fmt.Errorf("lease %s: running but never ready", l.ID)
	case (l.State == Ended || l.State == Closing) && l.Fault == 0:
		return fmt.Errorf("lease %s: ended without a fault", l.ID)
	case l.Side == ProviderSide && l.Meter.Open && l.State != Running && l.State != Stopping:
		return fmt.Errorf("lease %s: meter open in %s", l.ID, l.State)
	}
	return nil
}

// Wanted is what should be of the job.
type Wanted uint8

// Wanted values; WantNothing: not accepted yet, or files removed.
const (
	WantNothing Wanted = iota
	WantRunning
	WantPaused
	WantStop // SIGTERM, then SIGKILL when the grace is over
	WantKill
)

// Want is a pure function of the state; the engine follows it by Reconcile.
func (l Lease) Want() Wanted {
	switch l.State {
	case Preparing, Running:
		return WantRunning
	case Paused:
		return WantPaused
	case Stopping:
		return WantStop
	case Releasing, Closing:
		return WantKill
	}
	return WantNothing
}

// Owed is the metered amount, at most the cap.
func (l Lease) Owed() Amount { return min(l.price(l.Meter.BillableMS), l.Terms.Cap) }

// TickPrice is the price of one tick.
func (l Lease) TickPrice() Amount { return l.price(uint64(l.Terms.Tick.Milliseconds())) }

// price is total for ms; an overflow can only come from our own meter running for centuries, it then stands at the cap.
func (l Lease) price(ms uint64) Amount {
	a, err := l.Terms.Rate.For(max(len(l.Terms.Devices), 1), time.Duration(ms)*time.Millisecond)
	if err != nil {
		return l.Terms.Cap
	}
	return a
}

// Unpaid is U: what is owed beyond what is paid, plus the prepaid tick; negative when paid ahead.
func (l Lease) Unpaid() int64 {
	u := int64(l.Owed()) - int64(l.Paid)
	if l.Terms.Prepay && l.State != Closing && l.State != Ended {
		u += int64(l.TickPrice())
	}
	return u
}

// freezeAt is the U at which work stops: one tick less max(50 ms, tick/20).
func (l Lease) freezeAt() int64 {
	margin := max(50*time.Millisecond, l.Terms.Tick/20)
	return int64(l.TickPrice() - l.price(uint64(margin.Milliseconds())))
}

// Receipt states the meter as it stands.
func (l Lease) receipt(now time.Time) Receipt {
	return Receipt{
		Lease: l.ID, Seq: l.ReceiptSeq, BillableMS: l.Meter.BillableMS, PausedMS: l.Meter.PausedMS, UnobservedMS: l.Meter.UnobservedMS,
		Amount: l.Owed(), State: l.State, Wall: now.Truncate(time.Millisecond), Final: l.State >= Closing,
	}
}

// NextTimer is when the machine wants a Timer event; zero for never.
func (l Lease) NextTimer() time.Time {
	if l.Side == ProviderSide {
		switch l.State {
		case Preparing:
			return l.PrepUntil
		case Paused:
			return l.holdEnd()
		case Closing:
			return l.Closed.Add(l.keep())
		}
		return time.Time{}
	}
	switch l.State {
	case Proposed:
		return l.Terms.AcceptUntil.Add(5 * time.Second)
	case Preparing, Running, Paused, Stopping:
		return l.HeardAt.Add(l.silence())
	case Silent:
		return l.HeardAt.Add(silentEnd)
	case Closing:
		return l.Closed.Add(keepOutputs)
	}
	return time.Time{}
}

func (l Lease) holdEnd() time.Time {
	left := min(l.Terms.Hold, maxHeld-l.Held)
	return l.PausedAt.Add(max(left, 0))
}

func (l Lease) keep() time.Duration {
	if l.Paid < l.Owed() {
		return keepIndebted
	}
	return keepOutputs
}

func (l Lease) silence() time.Duration { return max(2*l.Terms.Tick, 15*time.Second) }
func (l Lease) tickMS() uint64         { return uint64(l.Terms.Tick.Milliseconds()) }
