package escrow

import (
	"time"

	"github.com/gpuai/gpuai/market"
)

// PayerAct is what the payer does about a Channel.
type PayerAct uint8

// Acts of DecidePayer. Each may be repeated: intents have keys, and a question is only a question.
const (
	PayerWait         PayerAct = iota + 1
	PayerTopUp                 // add Amount, to Total
	PayerAskRelease            // ask the payee for its Release
	PayerFinish                // with Release the payee's consent, else the close delay is over
	PayerRequestClose          // nobody consents: the close delay begins
	PayerPay                   // the payee's part of a sealed Channel, so that the storage deposit can come back
	PayerReclaim               // the storage deposit
	PayerForget                // it was never opened, and cannot be any more
)

var payerActWords = [...]string{"", "wait", "top up", "ask release", "finish", "request close", "pay", "reclaim",
	"forget"}

func (a PayerAct) String() string {
	if int(a) < len(payerActWords) {
		return payerActWords[a]
	}
	return "unknown"
}

// PayerNeeds is the input of DecidePayer beside the Account. Clock and Slot are the chain's, all other times the
// node's.
type PayerNeeds struct {
	Clock          time.Time
	Slot, OpenSlot uint64
	// Absent: a finalised view of after the opening's window has no such account, and the sender has ended with it.
	Absent bool
	// Hourly is the price of an hour of the live Leases.
	Hourly market.Amount
	// Wanted: an order uses the Channel, counts on it, waits for its payee, or wants it kept.
	Wanted bool
	// Close is since when its user wants it closed, whatever orders want; zero: its user does not. No lease begins
	// then.
	Close time.Time
	// FreeSince is since when nobody wants it, or its payee is back: from then on its Release is asked for. Zero: since
	// now; while it closes by itself, not at all.
	FreeSince time.Time
	// Silent: the payee does not answer; one question is enough.
	Silent bool
	// Asked counts the questions since FreeSince, AskedAt is when the last one was answered.
	Asked   int
	AskedAt time.Time
	// Release is the newest one in hand; it may have expired.
	Release *SignedRelease
	// FailedAt is when a transaction of the Channel failed last, PaidAt when the payee's account was looked at last.
	FailedAt, PaidAt time.Time
}

// PayerDecision says what to do, why, and for PayerWait until when; zero: until something changes.
type PayerDecision struct {
	Act           PayerAct
	Amount, Total market.Amount // PayerTopUp
	Release       *SignedRelease
	Until         time.Time
	Why           string
}

// Times of the payer: how long a Release may take before the chain is asked, how often it is asked for, how much life
// it must have left; when a transaction that failed, or a payee that could not be paid, is tried again. ReclaimAfter is
// the program's window in slots.
const (
	releaseWithin = time.Minute
	releaseAgain  = 300 * time.Millisecond
	releaseSeldom = 5 * time.Second
	releaseLife   = 10 * time.Second
	submitAgain   = time.Minute
	topUpAgain    = 2 * time.Second
	payAgain      = time.Minute
	ReclaimAfter  = 3000
)

// DecidePayer is the payer's policy, the twin of Decide; the first matching rule wins. It is pure. Money in a Channel
// always has a next step that returns it: a Channel that nobody wants, or whose user wants it closed, is closed, one
// that closes is finished, one that is sealed is paid out and reclaimed.
func DecidePayer(a *Account, n PayerNeeds, now time.Time) PayerDecision {
	switch a.Phase {
	case PhaseOpening:
		if n.Absent && n.Slot > n.OpenSlot+ReclaimAfter {
			return PayerDecision{Act: PayerForget, Why: "it was never opened"}
		}
		return wait(time.Time{}, "its opening is on the way")
	case PhaseSeen, PhaseOpen, PhaseReleasing:
		return payerOpen(a, n, now)
	case PhaseClosing:
		return payerClosing(a, n, now)
	case PhaseSealed:
		return payerSealed(a, n, now)
	}
	return wait(time.Time{}, "it holds nothing")
}

func wait(until time.Time, why string) PayerDecision {
	return PayerDecision{Act: PayerWait, Until: until, Why: why}
}

// payerOpen: Seen, Open, Releasing.
func payerOpen(a *Account, n PayerNeeds, now time.Time) PayerDecision {
	switch live := a.Live() > 0; {
	case live && a.Phase != PhaseReleasing:
		add := a.TopUp(n.Hourly)
		if add == 0 {
			return wait(time.Time{}, "its leases are funded")
		}
		if at := n.FailedAt.Add(topUpAgain); now.Before(at) {
			return wait(at, "a top-up has failed")
		}
		return PayerDecision{Act: PayerTopUp, Amount: add, Total: a.Seen + add, Why: "20 % of an hour are left"}
	case live:
		return wait(time.Time{}, "a lease lives")
	case n.Wanted && n.Close.IsZero():
		return wait(time.Time{}, "an order needs it, or wants it kept")
	}
	if at := n.FailedAt.Add(submitAgain); now.Before(at) {
		return wait(at, "a transaction has failed")
	}
	switch {
	case !n.Close.IsZero():
		n.FreeSince = n.Close // a restart does not begin anew
	case n.FreeSince.IsZero():
		n.FreeSince = now
	}
	if d, ok := byRelease(n, now); ok {
		return d
	}
	return PayerDecision{Act: PayerRequestClose, Why: "no release came"}
}

// byRelease: finish with the Release in hand, or ask for one, for as long as that is worth it.
func byRelease(n PayerNeeds, now time.Time) (PayerDecision, bool) {
	// by the chain's clock, which judges it
	if r := n.Release; r != nil && r.Expires > n.Clock.Add(releaseLife).Unix() {
		return PayerDecision{Act: PayerFinish, Release: r, Why: "the payee consents"}, true
	}
	if n.FreeSince.IsZero() || n.Asked > 0 && (n.Silent || !now.Before(n.FreeSince.Add(releaseWithin))) {
		return PayerDecision{}, false
	}
	again := min(releaseAgain<<min(max(n.Asked-1, 0), 5), releaseSeldom)
	if at := n.AskedAt.Add(again); n.Asked > 0 && now.Before(at) {
		return wait(at, "its release was asked for"), true
	}
	return PayerDecision{Act: PayerAskRelease, Why: "nobody needs it"}, true
}

// payerClosing: the close delay runs. A payee that is back may end it with its Release.
func payerClosing(a *Account, n PayerNeeds, now time.Time) PayerDecision {
	if at := n.FailedAt.Add(submitAgain); now.Before(at) {
		return wait(at, "a transaction has failed")
	}
	if a.Deadline > 0 && n.Clock.Unix() >= a.Deadline {
		return PayerDecision{Act: PayerFinish, Why: "the close delay is over"}
	}
	if a.Live() == 0 {
		if d, ok := byRelease(n, now); ok {
			return d
		}
	}
	return wait(now.Add(time.Unix(a.Deadline, 0).Sub(n.Clock)), "the close delay runs")
}

// payerSealed: the payee first, then the storage deposit, both once the program's window is over.
func payerSealed(a *Account, n PayerNeeds, now time.Time) PayerDecision {
	switch {
	case n.Slot <= n.OpenSlot+ReclaimAfter:
		return wait(time.Time{}, "the program's window is not over")
	case a.SentToPay < a.Settled:
		if at := n.PaidAt.Add(payAgain); !n.PaidAt.IsZero() && now.Before(at) {
			return wait(at, "the payee's account could not take it")
		}
		return PayerDecision{Act: PayerPay, Why: "the payee's part is not with it"}
	}
	if at := n.FailedAt.Add(submitAgain); now.Before(at) {
		return wait(at, "a transaction has failed")
	}
	return PayerDecision{Act: PayerReclaim, Why: "all is paid"}
}
