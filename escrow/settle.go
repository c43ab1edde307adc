package escrow

import (
	"time"

	"github.com/gpuai/gpuai/market"
)

// Act is what the payee does about its unclaimed money.
type Act uint8

// Acts of Decide.
const (
	ActWait Act = iota + 1
	ActClaim
	ActRecord
)

// Settle is the input of Decide beside the Account. Times are the chain's clock; amounts are base units of the mint.
type Settle struct {
	Now          time.Time
	Cost         market.Amount // of one claim, in mint units: 10,000 lamports + priority fee
	Hourly       market.Amount // one hour of price of the live Leases
	Tick         market.Amount // price of one tick
	MaxUnclaimed market.Amount // of the mint; SOL: DefaultMaxUnclaimed
	// the payout account can take what this would pay out: it exists, or the sum creates it
	PayeeReceives       bool
	ClosingToldBy1      bool      // one endpoint of several says Closing
	OldestUnclaimed     time.Time // when the oldest unclaimed voucher came; zero: none
	LastEnded           time.Time // when the last Lease ended; zero: a Lease is live
	ReleaseFinished     bool
	LastRecord          time.Time
	AskedByUser, Sealed bool // provider settle; the legs pay on their own
}

// DefaultMaxUnclaimed is the most SOL a provider leaves unclaimed: 0.1.
const DefaultMaxUnclaimed market.Amount = 100_000_000

// How long after a Channel's last Lease its sums are claimed if no Release finished it: those worth 20 claims, and all
// that are worth one.
const (
	idleClaim = 10 * time.Minute
	idleSmall = time.Hour
)

// idleFor reports that the last Lease ended longer than d ago and no Release was finished.
func (s *Settle) idleFor(d time.Duration) bool {
	return !s.LastEnded.IsZero() && s.Now.Sub(s.LastEnded) > d && !s.ReleaseFinished
}

// Decision says what to do, with which voucher, why, and for Wait until when to ask again.
type Decision struct {
	Act     Act
	Voucher Signed
	Until   time.Time
	Why     string
}

// Decide is the settlement policy; the first matching rule wins. It is pure and allocates nothing.
func Decide(a *Account, s Settle) Decision {
	v, ok := a.Redeemable(s.Tick)
	if !ok || v.Amount <= a.Settled || a.Phase >= PhaseSealed || a.Phase < PhaseSeen {
		return Decision{Act: ActWait, Why: "nothing unclaimed"}
	}
	unclaimed := v.Amount - a.Settled
	pay := func(why string) Decision {
		if s.PayeeReceives {
			return Decision{Act: ActClaim, Voucher: v, Why: why}
		}
		return Decision{Act: ActRecord, Voucher: v,
			Why: why + "; the payout account does not exist yet and the sum cannot create it"}
	}
	switch {
	case a.Phase == PhaseClosing && unclaimed > s.Cost:
		return pay("the channel is closing")
	case s.ClosingToldBy1 && unclaimed >= 20*s.Cost && s.Now.Sub(s.LastRecord) >= 10*time.Minute:
		return Decision{Act: ActRecord, Voucher: v, Why: "one endpoint says closing"}
	case s.AskedByUser && unclaimed > s.Cost:
		return pay("asked by the user")
	case unclaimed >= min(s.Hourly, s.MaxUnclaimed) && s.Hourly > 0 && unclaimed >= 20*s.Cost:
		return pay("an hour of price or the mint's limit is unclaimed")
	case !s.OldestUnclaimed.IsZero() && s.Now.Sub(s.OldestUnclaimed) >= 24*time.Hour && unclaimed > s.Cost:
		return pay("unclaimed for 24 h")
	case s.idleFor(idleClaim) && unclaimed >= 20*s.Cost:
		return pay("no release finished within 10 min of the last lease")
	case s.idleFor(idleSmall) && unclaimed > s.Cost:
		return pay("no release finished within an hour of the last lease")
	}
	until := s.Now.Add(time.Hour)
	for _, after := range []time.Duration{idleSmall, idleClaim} {
		if !s.LastEnded.IsZero() && !s.idleFor(after) {
			until = s.LastEnded.Add(after + time.Second)
		}
	}
	why := "a small sum is carried for an hour, for the next lease or the close"
	if unclaimed <= s.Cost {
		why = "a claim would cost more than the sum"
	}
	return Decision{Act: ActWait, Until: until, Why: why}
}
