package escrow

import (
	"maps"

	"github.com/gpuai/gpuai/market"
)

// Phase is the accountant's view of a Channel (docs/flows/payment.md). Numbers are persisted: append-only.
type Phase uint8

// Phases of a Channel.
const (
	PhaseOpening   Phase = iota + 1 // open intent stored; payer only
	PhaseSeen                       // confirmed, not finalised: a Lease may start, money does not count yet
	PhaseOpen                       // finalised
	PhaseClosing                    // the payer asked for his money: record now, no new Lease
	PhaseReleasing                  // a Release is out and not expired: no Lease
	PhaseSealed
	PhaseGone // absent, finalised
	PhaseLost // was Seen and vanished (fork)
)

// MaxKept bounds a payee's kept vouchers: ½ tick apart, an away allowance of 15 min needs 180.
const MaxKept = 512

// MaxLiveLeases is the number of live Leases of one Channel; more need a new salt.
const MaxLiveLeases = 64

// Share is one Lease's part of a Channel: ended Leases count as well, until they are folded into Past. All amounts are
// cumulative base units.
type Share struct {
	Paid        market.Amount `json:"paid"` // lease_amount: signed for this Lease
	Owed        market.Amount `json:"owed"` // metered
	Cap         market.Amount `json:"cap"`
	MinHeadroom market.Amount `json:"min_headroom,omitempty"`
	Live        bool          `json:"live,omitempty"`
}

func (s Share) used() market.Amount { return max(s.Paid, s.Owed) }

// reserve is what a live Lease may still need before its customer tops up.
func (s Share) reserve() market.Amount {
	if !s.Live || s.Cap <= s.used() {
		return 0
	}
	return min(s.Cap-s.used(), s.MinHeadroom)
}

// Past sums the shares of Leases that are over and of which nothing is left to count one by one. Used is Σ max(paid,
// owed).
type Past struct {
	Leases int           `json:"leases,omitempty"`
	Paid   market.Amount `json:"paid,omitempty"`
	Owed   market.Amount `json:"owed,omitempty"`
	Used   market.Amount `json:"used,omitempty"`
}

// Account is what both sides keep of one Channel. Methods never mutate the receiver: they return a new state to store
// before anything leaves. States share Kept's vouchers and what is before its end; nobody writes there.
type Account struct {
	Channel    market.ChannelID         `json:"channel"`
	VoucherKey [32]byte                 `json:"voucher_key"`
	Phase      Phase                    `json:"phase"`
	Deposit    market.Amount            `json:"deposit"` // finalised
	Seen       market.Amount            `json:"seen"`    // confirmed; bounds vouchers
	Settled    market.Amount            `json:"settled"`
	SentToPay  market.Amount            `json:"sent"` // the chain's "paid"
	Deadline   int64                    `json:"deadline,omitempty"`
	Leases     map[market.LeaseID]Share `json:"leases"`
	Past       Past                     `json:"past,omitzero"`
	Newest     Signed                   `json:"newest"`
	Kept       []*Signed                `json:"kept,omitempty"` // payee: ascending, from earned up
	ReleaseTo  int64                    `json:"release_to,omitempty"`

	At uint64 `json:"-"` // slot of the newest view that showed the Channel
}

// NewAccount starts the books of a Channel as read from the chain with trust t.
func NewAccount(cs ChannelState, t Trust) Account {
	a := Account{Channel: cs.ID, VoucherKey: cs.VoucherKey, Phase: PhaseOpening}
	a.Newest.Channel = cs.ID
	return a.Observe(cs, t, 0)
}

// clone copies what methods write to.
func (a Account) clone() Account {
	a.Leases = maps.Clone(a.Leases)
	if a.Leases == nil {
		a.Leases = map[market.LeaseID]Share{}
	}
	return a
}

// Observe takes a read of the Channel with trust t; clock is the chain's unix time, needed only while a Release is out.
func (a Account) Observe(cs ChannelState, t Trust, clock int64) Account {
	a = a.clone()
	if cs.Status == StatusGone {
		switch {
		case cs.Slot < a.At: // an endpoint that is behind: it was seen later than this
		case t == Finalised && a.Phase > PhaseSeen && a.Phase != PhaseLost:
			a.Phase = PhaseGone
		case t >= Confirmed && a.Phase == PhaseSeen:
			a.Phase = PhaseLost
		}
		return a
	}
	if t < Confirmed {
		return a
	}
	a.Seen, a.At = cs.Deposit, max(a.At, cs.Slot)
	a.Settled, a.SentToPay, a.Deadline = max(a.Settled, cs.Settled), max(a.SentToPay, cs.Paid), cs.Deadline
	if t == Finalised {
		a.Deposit = max(a.Deposit, cs.Deposit) // it never falls, only endpoints lag
	}
	switch cs.Status {
	case StatusSealed:
		a.Phase = PhaseSealed
	case StatusClosing:
		a.Phase = PhaseClosing
	case StatusOpen:
		a.Phase = a.openPhase(t, clock)
		if t == Finalised && clock > a.ReleaseTo {
			a.ReleaseTo = 0 // expired for good
		}
	}
	return a
}

func (a Account) openPhase(t Trust, clock int64) Phase {
	// whatever an old view said meanwhile
	if a.Phase == PhaseReleasing && t < Finalised || a.ReleaseTo > 0 && clock <= a.ReleaseTo {
		return PhaseReleasing
	}
	if t == Finalised || a.Phase == PhaseOpen {
		return PhaseOpen
	}
	if a.Phase == PhaseClosing {
		return PhaseClosing // only a finalised "Open" takes it back
	}
	return PhaseSeen
}

// OwedSum is Σ owed of all Leases so far.
func (a Account) OwedSum() (sum market.Amount) {
	sum = a.Past.Owed
	for _, s := range a.Leases {
		sum += s.Owed
	}
	return sum
}

// PaidSum is Σ lease_amount of all Leases so far.
func (a Account) PaidSum() (sum market.Amount) {
	sum = a.Past.Paid
	for _, s := range a.Leases {
		sum += s.Paid
	}
	return sum
}

// Live counts the live Leases.
func (a Account) Live() (n int) {
	for _, s := range a.Leases {
		if s.Live {
			n++
		}
	}
	return n
}

// Headroom is what a new Lease may count on: the finalised deposit less what all Leases so far used, ended ones too,
// and what the live ones reserve. Never negative.
func (a Account) Headroom() market.Amount {
	taken := a.Past.Used
	for _, s := range a.Leases {
		taken += s.used() + s.reserve()
	}
	return a.Deposit - min(taken, a.Deposit)
}

// AddLease enters a Lease; repeating it is free. Errors: *market.Refusal channel-unfit: too many live Leases, or a
// phase without Leases.
func (a Account) AddLease(id market.LeaseID, leaseCap, minHeadroom market.Amount) (Account, error) {
	if _, ok := a.Leases[id]; ok {
		return a, nil
	}
	if a.Phase != PhaseSeen && a.Phase != PhaseOpen {
		return a, market.Refuse(market.CodeChannelUnfit, market.KindConflict, "status: "+a.Phase.String())
	}
	if a.Live() >= MaxLiveLeases {
		return a, market.Refuse(market.CodeChannelUnfit, market.KindConflict, "live leases: 64 on one channel")
	}
	a = a.clone()
	a.Leases[id] = Share{Cap: leaseCap, MinHeadroom: minHeadroom, Live: true}
	return a, nil
}

// Without forgets a Lease that was entered and never came to be: nothing was signed for it.
func (a Account) Without(id market.LeaseID) Account {
	a = a.clone()
	delete(a.Leases, id)
	return a
}

// Owe sets a Lease's metered amount, at most its cap and never less than before, and drops vouchers below the new
// earned one.
func (a Account) Owe(id market.LeaseID, owed market.Amount) Account {
	s, ok := a.Leases[id]
	if !ok || owed <= s.Owed {
		return a
	}
	a = a.clone()
	s.Owed = min(owed, s.Cap)
	a.Leases[id] = s
	return a.prune()
}

// RaiseCap lets a live Lease cost more; a lower cap changes nothing.
func (a Account) RaiseCap(id market.LeaseID, leaseCap market.Amount) Account {
	s, ok := a.Leases[id]
	if !ok || !s.Live || leaseCap <= s.Cap {
		return a
	}
	a = a.clone()
	s.Cap = leaseCap
	a.Leases[id] = s
	return a
}

// EndLease ends a Lease at its final owed amount; its share counts for ever. Final may be lower than metered: a gift.
func (a Account) EndLease(id market.LeaseID, owed market.Amount) Account {
	s, ok := a.Leases[id]
	if !ok {
		return a
	}
	a = a.clone()
	s.Owed, s.Live = min(owed, s.Cap), false
	a.Leases[id] = s
	return a.prune()
}

// Fold adds the share of a Lease that has ended to Past and forgets it; no Payment is taken for it any more.
func (a Account) Fold(id market.LeaseID) Account {
	s, ok := a.Leases[id]
	if !ok || s.Live {
		return a
	}
	a = a.clone()
	delete(a.Leases, id)
	a.Past.Leases++
	a.Past.Paid, a.Past.Owed, a.Past.Used = a.Past.Paid+s.Paid, a.Past.Owed+s.Owed, a.Past.Used+s.used()
	return a
}

// Fresh reports that no Lease was ever entered.
func (a Account) Fresh() bool { return len(a.Leases) == 0 && a.Past.Leases == 0 }

// Left is what the deposit leaves to one Lease beyond what it owes: all others keep what they used.
func (a Account) Left(id market.LeaseID) market.Amount {
	taken := a.Past.Used
	for other, s := range a.Leases {
		if other == id {
			taken += s.Owed
		} else {
			taken += s.used()
		}
	}
	return a.Deposit - min(taken, a.Deposit)
}

// Ahead is what Leases that are over have signed beyond what they owe. Until the Channel is released its payee could
// take it.
func (a Account) Ahead() market.Amount {
	sum := a.Past.Used - a.Past.Owed
	for _, s := range a.Leases {
		if !s.Live {
			sum += s.used() - s.Owed
		}
	}
	return sum
}

// Covered is how much of a Lease's lease_amount finalised money backs, older vouchers first: work beyond it is
// exposure.
func (a Account) Covered(id market.LeaseID) market.Amount {
	paid := a.Leases[id].Paid
	over := a.PaidSum() - min(a.PaidSum(), a.Deposit)
	return paid - min(over, paid)
}

var phaseWords = [...]string{"", "opening", "seen", "open", "closing", "releasing", "sealed", "gone", "lost"}

func (p Phase) String() string {
	if int(p) < len(phaseWords) {
		return phaseWords[p]
	}
	return "unknown"
}
