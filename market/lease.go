package market

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market/meter"
)

// Side is whose view of a lease a machine holds.
type Side uint8

// Sides, persisted: append-only.
const (
	ProviderSide Side = iota + 1
	CustomerSide
)

func (s Side) String() string {
	if s == CustomerSide {
		return "customer"
	}
	return "provider"
}

// ErrIllegal reports an event that the lease's state does not allow; nothing has changed.
var ErrIllegal = errors.New("event is illegal in this state")

// ErrInvariant reports that an event would have broken an invariant of the lease; nothing has changed.
var ErrInvariant = errors.New("lease invariant broken")

// Terms are what both sides signed, and the own limits of this side.
type Terms struct {
	Rate         Rate
	Devices      int           // 1..MaxDevices
	Tick         time.Duration // 1 s..60 s
	Hold         time.Duration // how long an unpaid job stays frozen
	Prepay       bool          // one tick is due at Ready
	PrepMax      time.Duration // provider: preparation, all together
	StartTimeout time.Duration // customer: same, may be shorter; 0 = PrepMax
	MaxDuration  time.Duration // from Ready, pauses included
	StopGrace    time.Duration // 0..300 s, inside MaxDuration and Cap
	Cap          Amount        // the Lease's cap
	Budget       Amount        // the Order's budget; 0 = Cap
	AcceptUntil  time.Time     // customer: no answer until then and 5 s: Lapsed
	Away         time.Duration // customer: signed ahead of the meter, as time; 0 = off
	AwayMax      Amount        // customer: and as money, less what the channel already holds ahead
	// customer: nothing is signed ahead before so much time is paid to this provider; 0 = 2 min
	AwayAfter time.Duration
	PriorMS   uint64        // customer: time that earlier leases have paid to this provider
	SilentEnd time.Duration // customer: 0 = 30 min
	Keep      time.Duration // Closing lasts at most so long; 0 = 24 h, 1 h with an open debt
}

// Lease is one side's machine of one lease: the only persisted state machine of a job. It is a comparable value that
// marshals as JSON; use NewLease, then Apply. Transition tables: providerTable, customerTable. The tree of states:
//
//	provider: 0 → Preparing → Running ⇄ Paused → Stopping → Releasing → Closing → Ended; Preparing, Running, Paused → Releasing
//	customer: 0 → Proposed → Preparing → Running ⇄ Paused → Stopping → Closing → Ended; Proposed → Refused, Lapsed; live ⇄ Silent → Closing
type Lease struct {
	ID    LeaseID
	Side  Side
	Terms Terms
	State LeaseState // 0 before Accepted or Placed
	Cause string     // why Paused: unpaid, chain, runtime
	Phase string     // step of the preparation
	Words string     `json:",omitempty"` // provider: why the step is tried again

	Code     Code // end reason; "" while it goes on
	Fault    Fault
	Detail   string // ≤ 256 bytes
	Evidence Evidence

	Accepted, Ready, Ended time.Time // Ready is zero if the job never was; Ended: when the meter stopped for good
	Since                  time.Time // State entered

	// Meter is the provider's, or the customer's own.
	Meter meter.Meter

	// Money. ReceiptSeq, Claim, ClaimMS, ClaimPausedMS, ClaimUnobservedMS, Final: the last Receipt made or taken.
	ReceiptSeq                                uint64
	Claim                                     Amount
	ClaimMS, ClaimPausedMS, ClaimUnobservedMS uint64
	ClaimState                                LeaseState
	ClaimAt                                   time.Time
	Final                                     bool
	Paid                                      Amount // provider: covered by vouchers on disk; customer: acknowledged
	Answered                                  Amount // provider: the claim that the last Payment answered
	Debt                                      Amount // provider: as last written to the debt row
	Signed                                    Amount // customer: this lease's share of the last voucher; never shrinks
	SentAt                                    time.Time
	Funds                                     Amount // customer: FundsSeen; 0 = not known
	ToppedAt                                  Amount // customer: Funds when TopUp was asked

	// Ending.
	UnpaidPause                           time.Duration // provider: sum of the unpaid pauses that are over
	StopAt, KillAt, AskedAt               time.Time
	Grace                                 time.Duration // of this stop
	Quarantine, Gone                      bool
	OutcomeDone, OutputsDone, KeepChannel bool
	Exited                                bool
	Exit                                  int32
	OutputsRoot                           [32]byte
	PeerState                             LeaseState // customer: as last heard
	HeardAt                               time.Time  // customer
	SaidAt                                time.Time  // customer: the same, but for its own restarts
	AwakeMS                               uint64     // customer: boot clock at the last event
	OwnGap                                bool       // customer: this node itself was away since HeardAt
	OfflineFor                            time.Duration
	AskWait                               time.Duration
	PendMS                                uint64    // customer: own gap that the next claim may fill
	GapHour                               time.Time // customer: start of the hour in which GapMS was granted
	GapMS                                 uint64
	// customer: receipts in a row that are wrong, or above what may be signed
	Bad, Over uint8
	// LetGo, customer: in Closing, the money does not wait for the provider any more. The lease stays for outputs and
	// the last words.
	LetGo bool `json:",omitempty"`
	// UnknownAt, customer: since when the provider says that it does not know the lease.
	UnknownAt time.Time `json:",omitzero"`
	// CapWanted, CapRefused, customer: a cap that its provider was asked to take and has not answered; with what code
	// it refused the last one.
	CapWanted  Amount `json:",omitempty"`
	CapRefused Code   `json:",omitempty"`
	// CapWas, CapAt, provider: the limit before it was raised last, and when: the deposit for more takes its time to
	// become final.
	CapWas Amount    `json:",omitempty"`
	CapAt  time.Time `json:",omitzero"`
}

// MaxAway bounds Terms.Away.
const MaxAway = 24 * time.Hour

// NewLease returns a lease before its first event (Accepted or Placed). Errors: ErrRange.
func NewLease(id LeaseID, side Side, t Terms) (Lease, error) {
	if t.Budget == 0 {
		t.Budget = t.Cap
	}
	if t.StartTimeout == 0 {
		t.StartTimeout = t.PrepMax
	}
	if t.AwayAfter == 0 {
		t.AwayAfter = awayAfter
	}
	if t.SilentEnd == 0 {
		t.SilentEnd = 30 * time.Minute
	}
	t.AcceptUntil = clean(t.AcceptUntil)
	bad := t.Devices < 1 || t.Devices > MaxDevices || t.Rate > MaxRate || t.Tick < 200*time.Millisecond ||
		t.Tick > time.Minute ||
		t.Hold < 0 || t.PrepMax < 0 || t.StartTimeout < 0 || t.MaxDuration < time.Second ||
		t.MaxDuration > 30*24*time.Hour ||
		t.StopGrace < 0 || t.StopGrace > 300*time.Second || t.Cap == 0 && t.Rate > 0 || t.Away < 0 ||
		t.Away > MaxAway || t.AwayAfter < 0 || t.SilentEnd < 0 || t.Keep < 0
	if bad || side != ProviderSide && side != CustomerSide {
		return Lease{}, fmt.Errorf("%w: terms of lease %s", ErrRange, id)
	}
	return Lease{ID: id, Side: side, Terms: t}, nil
}

// clean strips the monotonic reading and the zone: what is compared must survive JSON.
func clean(t time.Time) time.Time { return t.Round(0).UTC() }

// step is one Apply in progress.
type step struct {
	Lease
	wasSeq uint64 // ReceiptSeq before
	now    time.Time
	eff    []Effect
}

func (s *step) emit(e ...Effect) { s.eff = append(s.eff, e...) }

// to enters a state.
func (s *step) to(st LeaseState) {
	if s.State == Paused && s.Cause == CauseUnpaid {
		s.UnpaidPause += max(0, s.now.Sub(s.Since))
	}
	s.State, s.Since, s.Cause = st, s.now, ""
}

// ends notes the end reason; the first one stays.
func (s *step) ends(code Code, by Side, ev Evidence, detail string) {
	if s.Code != "" {
		return
	}
	detail = short(detail)
	s.Code, s.Fault, s.Evidence, s.Detail = code, FaultOf(code, by), ev, detail
}

// short is the most of a text that a lease keeps.
func short(s string) string {
	if len(s) > 256 {
		s = strings.ToValidUTF8(s[:256], "")
	}
	return s
}

// rule is one line of a transition table: the states in which the event is legal, and what it does.
type rule struct {
	in []LeaseState
	do func(*step, Event) error
}

// Apply returns the lease after ev and the effects that the new state asks for; commit both, then act. now is the
// node's clock. It is pure. Errors: ErrIllegal, ErrInvariant, ErrOverflow; then the lease is unchanged and there are no
// effects.
func (l Lease) Apply(ev Event, now time.Time) (Lease, []Effect, error) {
	if ev == nil {
		return l, nil, ErrIllegal
	}
	table := &providerTable
	if l.Side == CustomerSide {
		table = &customerTable
	}
	r := table[ev.kind()]
	if !r.allows(l.State) {
		return l, nil, fmt.Errorf("%w: %T in %s of the %s", ErrIllegal, ev, l.State, l.Side)
	}
	s := &step{Lease: l, wasSeq: l.ReceiptSeq, now: clean(now)}
	if l.Side == CustomerSide {
		s.awake(ev)
	}
	if err := r.do(s, ev); err != nil {
		return l, nil, err
	}
	if err := s.Valid(); err != nil {
		return l, nil, err
	}
	return s.Lease, s.eff, nil
}

func (r rule) allows(st LeaseState) bool {
	for _, x := range r.in {
		if x == st {
			return true
		}
	}
	return false
}

// Legal reports whether an event of ev's type is in the table for the lease's state.
func (l Lease) Legal(ev Event) bool {
	if l.Side == CustomerSide {
		return customerTable[ev.kind()].allows(l.State)
	}
	return providerTable[ev.kind()].allows(l.State)
}

// Terminal reports whether the lease is over: Ended, Refused or Lapsed.
func (l Lease) Terminal() bool { return l.State == Ended || l.State == Refused || l.State == Lapsed }

// MoneyOver reports whether nothing more of the lease's money waits for the provider: it is over, or it was let go.
func (l Lease) MoneyOver() bool { return l.Terminal() || l.LetGo }

// Durable returns the lease without what may be lost in a crash: the meter since the last Receipt and liveness marks.
// Two leases with the same Durable need no commit between them.
func (l Lease) Durable() Lease {
	if l.Meter.Running {
		l.Meter = meter.Meter{Running: true}
	}
	if l.Side == CustomerSide && (l.State.Live() || l.State == Silent) {
		l.Paid = 0 // the voucher is repeated, and acknowledged again
	}
	l.HeardAt, l.SaidAt, l.AwakeMS, l.OfflineFor, l.AskedAt, l.AskWait, l.GapMS, l.GapHour = time.Time{}, time.Time{},
		0, 0, time.Time{}, 0, 0, time.Time{}
	return l
}

// Want returns what the job should be, a pure function of the state; 0 before Accepted and on the customer's side.
func (l Lease) Want() (JobPhase, time.Duration) {
	if l.Side == CustomerSide {
		return 0, 0
	}
	switch l.State {
	case Preparing, Running:
		return WantRunning, 0
	case Paused:
		if l.Cause == CauseRuntime { // not frozen by us, only not seen
			return WantRunning, 0
		}
		return WantPaused, 0
	case Stopping:
		if l.KillAt.IsZero() {
			return WantGone, l.Grace
		}
		return WantGone, 0
	case Releasing, Closing, Ended:
		return WantGone, 0
	}
	return 0, 0
}

// Valid checks the invariants of the lease: bounds of money and states that need an end reason. Errors: ErrInvariant.
func (l Lease) Valid() error {
	owed := l.Owed()
	limit := min(l.Terms.Cap, l.Terms.Budget)
	ended := l.State == Releasing || l.State == Closing && l.Side == ProviderSide || l.State == Ended &&
		l.Side == ProviderSide
	switch {
	case l.Side == ProviderSide && l.Signed != 0, l.Side == CustomerSide && l.Signed > limit:
		return fmt.Errorf("%w: signed %d over %d", ErrInvariant, l.Signed, limit)
	case owed > limit:
		return fmt.Errorf("%w: owed %d over cap %d", ErrInvariant, owed, limit)
	case l.Ready.IsZero() && l.Meter.BillableMS > 0:
		return fmt.Errorf("%w: billed before ready", ErrInvariant)
	case l.Side == ProviderSide && l.Claim > owed:
		return fmt.Errorf("%w: claim %d over owed %d", ErrInvariant, l.Claim, owed)
	case ended && (l.Code == "" || l.Meter.Running):
		return fmt.Errorf("%w: ended without reason or with an open meter", ErrInvariant)
	case l.State == Paused && (l.Cause == "" || l.Side == ProviderSide && l.Meter.Running):
		return fmt.Errorf("%w: paused without cause or with an open meter", ErrInvariant)
	}
	return nil
}

// Outcome returns how the lease ended, as this side sees it; ReceiptHash, VoucherTotal are the caller's. The customer's
// amount is the last claim, in a dispute its own meter.
func (l Lease) Outcome() Outcome {
	o := Outcome{
		Lease: l.ID, Fault: l.Fault, Code: l.Code, Accepted: l.Accepted, Ready: l.Ready, Ended: l.Ended,
		BillableMS: l.ClaimMS, Amount: l.Claim, ExitCode: l.Exit, OutputsRoot: l.OutputsRoot,
		KeepChannel: l.KeepChannel,
	}
	if l.Side == ProviderSide || l.Code == CodeMeterDispute {
		o.BillableMS, o.Amount = l.Meter.BillableMS, l.Owed()
	}
	return o
}
