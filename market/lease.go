package market

import (
	"errors"
	"fmt"
	"slices"
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
// marshals as JSON; use NewLease, then Apply. Rules of one side see Common and its own part alone. Transition tables:
// providerTable, customerTable. The tree of states:
//
//	provider: 0 → Preparing → Running ⇄ Paused → Stopping → Releasing → Closing → Ended; Preparing, Running, Paused → Releasing
//	customer: 0 → Proposed → Preparing → Running ⇄ Paused → Stopping → Closing → Ended; Proposed → Refused, Lapsed; live ⇄ Silent → Closing
type Lease struct {
	Common
	Sold
	Bought
}

// Common is what both sides keep of a lease, each as it knows it.
type Common struct {
	ID    LeaseID
	Side  Side
	Terms Terms
	State LeaseState // 0 before Accepted or Placed
	Cause string     // why Paused: unpaid, chain, runtime
	Phase string     // step of the preparation

	Code     Code // end reason; "" while it goes on
	Fault    Fault
	Detail   string // ≤ 256 bytes
	Evidence Evidence

	Accepted, Ready, Ended time.Time // Ready is zero if the job never was; Ended: when the meter stopped for good
	Since                  time.Time // State entered

	// Meter is the provider's, or the customer's own.
	Meter meter.Meter
	Billed
	Paid Amount // provider: covered by vouchers on disk; customer: acknowledged

	// Ending.
	StopAt, AskedAt                       time.Time     // AskedAt: of what is repeated
	Grace                                 time.Duration // of this stop
	OutcomeDone, OutputsDone, KeepChannel bool
	Exit                                  int32
	OutputsRoot                           [32]byte
}

// Billed is the last Receipt made or taken.
type Billed struct {
	ReceiptSeq                                uint64
	Claim                                     Amount
	ClaimMS, ClaimPausedMS, ClaimUnobservedMS uint64
	ClaimState                                LeaseState
	ClaimAt                                   time.Time
	Final                                     bool
}

// Sold is what the provider alone keeps of a lease.
type Sold struct {
	Words                    string        // why the step of the preparation is tried again
	Answered                 Amount        // the claim that the last Payment answered
	Debt                     Amount        // as last written to the debt row
	UnpaidPause              time.Duration // sum of the unpaid pauses that are over
	KillAt                   time.Time
	Quarantine, Gone, Exited bool
	// CapWas, CapAt: the limit before it was raised last, and when: the deposit for more takes its time to become
	// final.
	CapWas Amount
	CapAt  time.Time
}

// Bought is what the customer alone keeps of a lease.
type Bought struct {
	Signed     Amount // this lease's share of the last voucher; never shrinks
	SentAt     time.Time
	Funds      Amount     // FundsSeen; 0 = not known
	ToppedAt   Amount     // Funds when TopUp was asked
	PeerState  LeaseState // as last heard
	HeardAt    time.Time
	SaidAt     time.Time // the same, but for its own restarts
	AwakeMS    uint64    // boot clock at the last event
	OwnGap     bool      // this node itself was away since HeardAt
	OfflineFor time.Duration
	AskWait    time.Duration
	PendMS     uint64    // own gap that the next claim may fill
	GapHour    time.Time // start of the hour in which GapMS was granted
	GapMS      uint64
	Bad, Over  uint8 // receipts in a row that are wrong, or above what may be signed
	// LetGo: in Closing, the money does not wait for the provider any more. The lease stays for outputs and the last
	// words.
	LetGo bool
	// UnknownAt: since when the provider says that it does not know the lease.
	UnknownAt time.Time
	// CapWanted, CapRefused: a cap that the provider was asked to take and has not answered; with what code it refused
	// the last one.
	CapWanted  Amount
	CapRefused Code
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
	return Lease{Common: Common{ID: id, Side: side, Terms: t}}, nil
}

// clean strips the monotonic reading and the zone: what is compared must survive JSON.
func clean(t time.Time) time.Time { return t.Round(0).UTC() }

// turn is one Apply in progress: what its rule says beside what becomes due.
type turn struct {
	now time.Time
	eff []Effect
}

func (t *turn) emit(all ...Effect) {
	for _, e := range all {
		if !slices.Contains(t.eff, e) {
			t.eff = append(t.eff, e)
		}
	}
}

// seller is a lease as the provider's rules see it, buyer as the customer's do.
type seller struct {
	*Common
	*Sold
	*turn
}

type buyer struct {
	*Common
	*Bought
	*turn
}

func (l *Lease) seller(t *turn) *seller { return &seller{&l.Common, &l.Sold, t} }
func (l *Lease) buyer(t *turn) *buyer   { return &buyer{&l.Common, &l.Bought, t} }

// enter enters a state.
func (c *Common) enter(st LeaseState, now time.Time) { c.State, c.Since, c.Cause = st, now, "" }

// ends notes the end reason; the first one stays.
func (c *Common) ends(code Code, by Side, ev Evidence, detail string) {
	if c.Code == "" {
		c.Code, c.Fault, c.Evidence, c.Detail = code, FaultOf(code, by), ev, short(detail)
	}
}

// short is the most of a text that a lease keeps.
func short(s string) string {
	if len(s) > 256 {
		s = strings.ToValidUTF8(s[:256], "")
	}
	return s
}

// rule is one line of a side's transition table: the states in which the event is legal, and what it does.
type rule[S any] struct {
	in []LeaseState
	do func(S, Event) error
}

// Apply returns the lease after ev and the effects that are due by it; commit both, then act. They are what the new
// state asks for and the old one did not (Due), and what the event itself asks for or repeats. now is the node's clock.
// It is pure. Errors: ErrIllegal, ErrInvariant, ErrOverflow; then the lease is unchanged and there are no effects.
func (l Lease) Apply(ev Event, now time.Time) (Lease, []Effect, error) {
	if ev == nil {
		return l, nil, ErrIllegal
	}
	if !l.Legal(ev) {
		return l, nil, fmt.Errorf("%w: %T in %s of the %s", ErrIllegal, ev, l.State, l.Side)
	}
	next, t, err := l, &turn{now: clean(now)}, error(nil)
	if l.Side == CustomerSide {
		s := next.buyer(t)
		s.awake(ev)
		err = customerTable[ev.kind()].do(s, ev)
	} else {
		err = providerTable[ev.kind()].do(next.seller(t), ev)
	}
	if err == nil {
		err = next.Valid()
	}
	if err != nil {
		return l, nil, err
	}
	return next, t.due(&l, &next, ev), nil
}

// Legal reports whether an event of ev's type is in the table for the lease's state.
func (l Lease) Legal(ev Event) bool {
	in := providerTable[ev.kind()].in
	if l.Side == CustomerSide {
		in = customerTable[ev.kind()].in
	}
	return slices.Contains(in, l.State)
}

// Terminal reports whether the lease is over: Ended, Refused or Lapsed.
func (c Common) Terminal() bool { return c.State == Ended || c.State == Refused || c.State == Lapsed }

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
// grace is the time from StopAt to SIGKILL.
func (l Lease) Want() (phase JobPhase, grace time.Duration) {
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
