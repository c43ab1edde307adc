package market

import (
	"fmt"
	"slices"
	"time"
)

// Stage is where the purchase of an Order stands. Numbers are persisted: append-only.
type Stage uint8

// Stages of a Purchase.
const (
	StageInputs    Stage = iota + 1 // the order's inputs are not here yet; nobody is asked
	StageSearching                  // nobody gave a quote; it asks again later, or when the book changes
	StageQuoting                    // providers are asked
	StageFunding                    // one of them is chosen, a channel to it is made ready
	StageProposing                  // the channel is ready, the lease is signed
	StageLeased                     // the lease has its own machine: Lease
	StageRefunding                  // no lease needs the channel any more, its money comes back
	StageOver
)

var stageWords = [...]string{"new", "inputs", "searching", "quoting", "funding", "proposing", "leased", "refunding",
	"over"}

func (s Stage) String() string {
	if int(s) < len(stageWords) {
		return stageWords[s]
	}
	return "unknown"
}

// PurchaseTerms are what the user asked for. Only Budget changes after the order is placed, and it only rises.
type PurchaseTerms struct {
	// Budget is the most that all attempts together may cost.
	Budget Amount `json:"Budget"`
	// Retry is how many more attempts a provider's loss may be followed by.
	Retry int `json:"Retry,omitempty"`
	// IdleStop ends a job that was neither heard nor used for so long; 0: never.
	IdleStop time.Duration `json:"IdleStop,omitempty"`
	// TTL is the longest life of the order from its placing on; 0: none.
	TTL time.Duration `json:"TTL,omitempty"`
	// Wait is how long after its placing the order still waits for a rig that fits; 0: only some minutes.
	Wait time.Duration `json:"Wait,omitempty"`
	// Keep leaves the channel open for the next order.
	Keep bool `json:"Keep,omitempty"`
}

// Reason is why an order ended or waits, for programs and for people.
type Reason struct {
	Code   Code   `json:"Code"`
	Detail string `json:"Detail"`
	Hint   string `json:"Hint"`
}

// Attempt is a lease that its provider lost, for good.
type Attempt struct {
	Provider NodeID    `json:"Provider"`
	Rate     Rate      `json:"Rate"`
	Channel  ChannelID `json:"Channel"`
	Lease    LeaseID   `json:"Lease"`
	Code     Code      `json:"Code"`
	Detail   string    `json:"Detail,omitempty"`
	Fault    Fault     `json:"Fault"`
	Began    time.Time `json:"Began"`
	Ended    time.Time `json:"Ended"`
	// Signed is what the lost provider can redeem, Owed what it is owed by its last claim; Deposit what its channel
	// holds until it comes home.
	Signed  Amount `json:"Signed"`
	Owed    Amount `json:"Owed"`
	Deposit Amount `json:"Deposit"`
	// Home: the channel is settled. Paid and Returned are this order's part of it.
	Home     bool   `json:"Home,omitempty"`
	Paid     Amount `json:"Paid,omitempty"`
	Returned Amount `json:"Returned,omitempty"`
}

// spent is the most that an attempt has cost or may still cost.
func (a Attempt) spent() Amount {
	if a.Home {
		return a.Paid
	}
	return a.Signed
}

// locked is what an attempt's channel holds beside that until it comes home.
func (a Attempt) locked() Amount {
	if a.Home {
		return 0
	}
	return sub(a.Deposit, a.Signed)
}

// Purchase is the life of an Order from its placing until its money is home: the customer's side above the leases. It
// is a pure value that marshals as JSON. Use NewPurchase, then Apply; Due says what there is to do in a state, after
// each event and after a restart alike. Transition table: purchaseTable. The tree of stages:
//
//	Inputs → Quoting ⇄ Searching; Quoting → Funding → Proposing → Leased → Refunding → Over
//	Funding, Proposing → Searching           the provider, or the money for it, is not to be had
//	Leased → Searching                       the lease was refused, or not answered
//	Leased → Quoting                         its provider has lost it, and an attempt is left
//	Searching, Quoting, Funding, Proposing → Refunding, or → Over where no channel was made ready
//	Funding, Proposing → Quoting             the node has started again: quotes are not kept
//
// An order of many leases is many Purchases: nothing here knows of others.
type Purchase struct {
	ID     OrderID       `json:"ID"`
	Terms  PurchaseTerms `json:"Terms"`
	Stage  Stage         `json:"Stage"`
	Since  time.Time     `json:"Since"` // Stage entered
	Placed time.Time     `json:"Placed"`
	// Round numbers the looks for a provider; what comes of an earlier one is illegal.
	Round uint32 `json:"Round"`

	// The search. Begun: when it began. Until: how long it may last while all that fits is rented. Again: when the next
	// look is. Resumed: a start of the node interrupted it, and its book is empty. Waits: what it waits for.
	Begun   time.Time `json:"Begun,omitzero"`
	Until   time.Time `json:"Until,omitzero"`
	Again   time.Time `json:"Again,omitzero"`
	Resumed bool      `json:"Resumed,omitempty"`
	Waits   string    `json:"Waits,omitempty"`
	// Unfit counts channels of this attempt that its provider, or this node, did not take.
	Unfit uint8 `json:"Unfit,omitempty"`

	// The attempt. Prefer: Provider was chosen before the node started again.
	Provider NodeID    `json:"Provider,omitzero"`
	Prefer   bool      `json:"Prefer,omitempty"`
	Rate     Rate      `json:"Rate,omitempty"`
	Channel  ChannelID `json:"Channel,omitzero"`
	Deposit  Amount    `json:"Deposit,omitempty"` // of Channel, when the order began to count on it
	Lease    LeaseID   `json:"Lease,omitzero"`
	Began    time.Time `json:"Began,omitzero"` // the lease was signed
	Used     time.Time `json:"Used,omitzero"`  // the job was last heard or used
	// Lingers: the money does not wait for the lease any more; its last words and its outputs may still come.
	Lingers bool      `json:"Lingers,omitempty"`
	Lost    []Attempt `json:"Lost,omitempty"` // earlier ones

	// The wish to end it. Stops counts it, Told how often the lease was told. StopCode is the first one's.
	StopCode Code   `json:"StopCode,omitempty"`
	Stops    uint16 `json:"Stops,omitempty"`
	Told     uint16 `json:"Told,omitempty"`
	Kill     bool   `json:"Kill,omitempty"` // without grace

	// The end. Failed: no lease came to its end. Later: the order is over before its money is home. Home: it is.
	End      Reason `json:"End,omitzero"`
	Failed   bool   `json:"Failed,omitempty"`
	Later    bool   `json:"Later,omitempty"`
	Home     bool   `json:"Home,omitempty"`
	Paid     Amount `json:"Paid,omitempty"`
	Returned Amount `json:"Returned,omitempty"` // of the last attempt's channel
	Tx       string `json:"Tx,omitempty"`       // that finished it
}

// How long an order waits for rented rigs, counted from its search or the node's start on; how many channels an attempt
// survives that were not taken.
const (
	purchasePatience = 5 * time.Minute
	maxUnfit         = 3
	maxRetry         = 3
)

// NewPurchase returns the purchase of an order that is placed now. waits: its inputs come later. Errors: ErrRange.
func NewPurchase(id OrderID, t PurchaseTerms, waits bool, now time.Time) (Purchase, error) {
	if t.Budget == 0 || t.Retry < 0 || t.Retry > maxRetry || t.IdleStop < 0 || t.TTL < 0 || t.Wait < 0 {
		return Purchase{}, fmt.Errorf("%w: terms of order %s", ErrRange, id)
	}
	now = clean(now)
	p := Purchase{ID: id, Terms: t, Stage: StageInputs, Since: now, Placed: now}
	if !waits {
		s := purchaseStep{p, now}
		s.search(true)
		p = s.Purchase
	}
	return p, nil
}

// Left is what the order may still spend: its budget, less what lost providers can redeem, less what their channels
// hold. The channel of the newest loss does not count: its deposit may overlap the next one's.
func (p Purchase) Left() Amount {
	left := p.Terms.Budget
	for i, a := range p.Lost {
		left = sub(left, a.spent())
		if i < len(p.Lost)-1 {
			left = sub(left, a.locked())
		}
	}
	return left
}

// Standing is the stage in one word for people: inputs, searching, funding, leased, ended or failed.
func (p Purchase) Standing() string {
	switch p.Stage {
	case StageInputs:
		return "inputs"
	case StageSearching, StageQuoting:
		return "searching"
	case StageFunding, StageProposing:
		return "funding"
	case StageRefunding:
		if p.Lease == (LeaseID{}) {
			return "failed" // only its money is on the way
		}
	case StageOver:
		if p.Failed {
			return "failed"
		}
		return "ended"
	}
	return "leased"
}

// Ended reports that the order is over for its user: ended or failed.
func (p Purchase) Ended() bool {
	return p.Stage == StageOver || p.Stage == StageRefunding && p.Lease == (LeaseID{})
}

// Uses reports whether the order's money is, or was, in a channel: of this attempt or of a lost one.
func (p Purchase) Uses(id ChannelID) bool {
	return p.Channel == id || slices.ContainsFunc(p.Lost, func(a Attempt) bool { return a.Channel == id })
}

// Needs reports whether the order uses a channel, or has chosen its provider: nobody may close it.
func (p Purchase) Needs(id ChannelID, provider NodeID) bool {
	switch p.Stage {
	case StageFunding, StageProposing:
		return p.Provider == provider || p.Channel == id
	case StageLeased:
		return p.Channel == id
	}
	return p.Stage == StageQuoting && p.Prefer && p.Provider == provider
}

// Stopping reports that the order goes no further: its user, or a limit of its own, has ended it.
func (p Purchase) Stopping() bool { return p.StopCode != "" }

// WaitsUntil is how long the order waits for a rig that fits; zero: it was not told to.
func (p Purchase) WaitsUntil() time.Time {
	if p.Terms.Wait == 0 {
		return time.Time{}
	}
	return p.Placed.Add(p.Terms.Wait)
}

// Wants reports that the order has found no rig and waits for one to come, as it was told to.
func (p Purchase) Wants() bool {
	return p.Terms.Wait > 0 && !p.Stopping() && (p.Stage == StageSearching || p.Stage == StageQuoting && p.Waits != "")
}

// Cost is what the order's lost attempts have cost, as far as it is known: what was settled, else what they are owed.
func (p Purchase) Cost() (sum Amount) {
	for _, a := range p.Lost {
		if a.Home {
			sum += a.Paid
		} else {
			sum += a.Owed
		}
	}
	return sum
}

// NextTimer is when the purchase wants an OrderTick; zero: never.
func (p Purchase) NextTimer() time.Time {
	var at time.Time
	see := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if p.Stage == StageSearching {
		see(p.Again)
	}
	if p.Stage < StageRefunding && p.Terms.TTL > 0 && !p.Stopping() {
		see(p.Placed.Add(p.Terms.TTL))
	}
	if p.Stage == StageLeased && p.Terms.IdleStop > 0 && !p.Stopping() {
		see(p.Used.Add(p.Terms.IdleStop))
	}
	return at
}

// Apply returns the purchase after ev and all that is due in the new state: commit it, then see that exactly this is
// being done. now is the node's clock. It is pure. Errors: ErrIllegal, ErrInvariant; then nothing is changed.
func (p Purchase) Apply(ev PurchaseEvent, now time.Time) (Purchase, []PurchaseEffect, error) {
	if ev == nil {
		return p, nil, ErrIllegal
	}
	r := purchaseTable[ev.purchaseKind()]
	if !slices.Contains(r.in, p.Stage) {
		return p, nil, fmt.Errorf("%w: %T while %s", ErrIllegal, ev, p.Stage)
	}
	s := &purchaseStep{p, clean(now)}
	s.Lost = slices.Clone(p.Lost)
	if err := r.do(s, ev); err != nil {
		return p, nil, err
	}
	if err := s.Valid(); err != nil {
		return p, nil, err
	}
	return s.Purchase, s.Due(), nil
}

// Valid checks the invariants of a purchase. Errors: ErrInvariant.
func (p Purchase) Valid() error {
	none := p.Lease == (LeaseID{})
	switch {
	case p.Stage < StageInputs || p.Stage > StageOver:
		return fmt.Errorf("%w: stage %d", ErrInvariant, p.Stage)
	case p.Stage < StageLeased && !none, p.Stage == StageLeased && none:
		return fmt.Errorf("%w: %s with lease %s", ErrInvariant, p.Stage, p.Lease)
	case (p.Stage == StageProposing || p.Stage >= StageLeased && !none) && p.Channel == (ChannelID{}):
		return fmt.Errorf("%w: %s without a channel", ErrInvariant, p.Stage)
	case p.Stage >= StageRefunding && p.End.Code == "":
		return fmt.Errorf("%w: %s without a reason", ErrInvariant, p.Stage)
	case p.Stage == StageSearching && p.Again.IsZero():
		return fmt.Errorf("%w: searching without a next look", ErrInvariant)
	case len(p.Lost) > p.Terms.Retry:
		return fmt.Errorf("%w: %d losses, %d retries", ErrInvariant, len(p.Lost), p.Terms.Retry)
	}
	return nil
}
