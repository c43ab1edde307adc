package market

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func kinds(all []Effect) string {
	var out []string
	for _, e := range all {
		out = append(out, strings.TrimPrefix(fmt.Sprintf("%T", e), "market."))
	}
	return strings.Join(out, " ")
}

// TestLease_Due_Table: what each state of each side asks for, with nothing of it done.
func TestLease_Due_Table(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"provider preparing": "WantJob SendStatus",
		"provider running":   "WantJob SendReceipt SendStatus",
		"provider paused":    "WantJob SendReceipt SendStatus",
		"provider stopping":  "WantJob SendReceipt SendStatus",
		"provider releasing": "WantJob SendReceipt SendStatus",
		"provider closing":   "WantJob SendReceipt FreeDevices SignOutcome SendStatus",
		"provider ended": "SendReceipt FreeDevices SignOutcome ClaimNow SignRelease RemoveFiles " +
			"SendStatus",
		"customer proposed":  "SendLease",
		"customer preparing": "PushInputs",
		"customer running":   "SignPayment TopUp RaiseCap",
		"customer paused":    "SignPayment TopUp RaiseCap",
		"customer stopping":  "SendStop SignPayment TopUp RaiseCap",
		"customer releasing": "SignPayment RaiseCap", // never there
		"customer closing":   "FetchOutputs SendOutcome SignPayment RaiseCap",
		"customer lapsed":    "SendStop",
		"customer silent":    "SignPayment TopUp RaiseCap",
	}
	for _, side := range []Side{ProviderSide, CustomerSide} {
		for st := LeaseState(0); st <= Silent; st++ {
			l := inState(t, side, st)
			ran := st >= Running && st <= Ended || st == Silent
			switch {
			case side == ProviderSide && ran:
				l.ReceiptSeq, l.ClaimAt = 1, t0
			case side == CustomerSide && ran:
				l.Signed, l.Funds, l.ToppedAt, l.CapWanted, l.Final = 9, 10, 10, 20, st >= Closing
			}
			name := side.String() + " " + st.String()
			if d := cmp.Diff(want[name], kinds(l.Due())); d != "" &&
				(side == CustomerSide || st <= Ended && st != Proposed) {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
		}
	}
}

// settled says why an effect that was due is not any more: it is done, or the state has no use for it.
func settled(e Effect, next Lease) bool {
	over := next.Terminal()
	switch e.(type) {
	case WantJob:
		return next.State == Ended
	case SignOutcome, SendOutcome:
		return next.OutcomeDone || over
	case SendLease:
		return next.State != Proposed
	case PushInputs:
		return next.State != Preparing
	case SendStop:
		return next.PeerState >= Releasing || next.State == Closing
	case SignPayment:
		return next.Signed <= next.Paid || over
	case TopUp:
		return next.ToppedAt != next.Funds || !next.State.Live() && next.State != Silent
	case RaiseCap:
		return next.CapWanted == 0 || over
	case FetchOutputs:
		return next.OutputsDone || over
	}
	return false
}

// answers are effects that an event asks for whatever is due: a question, a repeat, an answer to a peer's question.
func answers(e Effect, ev Event, next Lease) bool {
	switch e.(type) {
	case AskStatus:
		return true // repeated by the clock
	case SignPayment, SendOutcome: // of a Receipt that came again
		_, receipt := ev.(ReceiptSeen)
		return receipt || next.Signed == next.Paid
	case SignOutcome: // its root came late
		return next.OutputsRoot != ([32]byte{})
	case ClaimNow:
		_, closing := ev.(ChainClosing)
		return closing
	}
	return false
}

// TestLease_Due_HasAllThatIsNotDone walks both machines through any events: what a step brings is due in its state,
// what becomes due is brought, what is due stays so until it is settled or replaced by a newer one of its kind, and a
// restart repeats it all.
func TestLease_Due_HasAllThatIsNotDone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		side, first := ProviderSide, Event(Accepted{})
		if rapid.Bool().Draw(t, "customer") {
			side, first = CustomerSide, Placed{}
		}
		terms := testTerms()
		terms.Prepay, terms.Cap = rapid.Bool().Draw(t, "prepay"), 200_000
		l, err := NewLease(LeaseID{5}, side, terms)
		if err != nil {
			t.Fatal(err)
		}
		now := t0
		step := func(i int, k kind, b byte) {
			b = b/byte(numKinds)*byte(numKinds) + byte(k)
			now = now.Add(time.Duration(b) * 97 * time.Millisecond)
			ev := dueEvent(b, uint64(now.Sub(t0).Milliseconds())+1, uint64(i), l)
			was := l
			next, eff, err := l.Apply(ev, now)
			if err != nil {
				return
			}
			l = next
			check(t, was, l, ev, eff)
		}
		step(0, first.kind(), 0)
		for i, b := range rapid.SliceOfN(rapid.Uint16(), 20, 120).Draw(t, "events") {
			legal := slices.DeleteFunc(everyEvent(), func(ev Event) bool { return !l.Legal(ev) })
			step(i+1, legal[int(b>>8)%len(legal)].kind(), byte(b))
		}
	})
}

func check(t *rapid.T, was, l Lease, ev Event, eff []Effect) {
	due := l.Due()
	for _, e := range eff {
		if !slices.Contains(due, e) && !answers(e, ev, l) {
			t.Fatalf("%T brings %+v, of %s of the %s only %s is due", ev, e, l.State, l.Side, kinds(due))
		}
	}
	_, restarted := ev.(Restarted)
	for _, e := range due {
		if (restarted || !slices.Contains(was.Due(), e)) && !slices.Contains(eff, e) {
			t.Fatalf("%T to %s of the %s makes %+v due and brings only %s", ev, l.State, l.Side, e, kinds(eff))
		}
	}
	for _, e := range was.Due() {
		newer := slices.ContainsFunc(due, func(x Effect) bool { return kinds([]Effect{x}) == kinds([]Effect{e}) })
		if !newer && !settled(e, l) {
			t.Fatalf("%T from %s to %s of the %s: %+v is due no more", ev, was.State, l.State, l.Side, e)
		}
	}
}

// dueEvent is fuzzEvent, with what makes deep states likely.
func dueEvent(b byte, boot, i uint64, l Lease) Event {
	switch ev := fuzzEvent(b, boot, i).(type) {
	case ReceiptSeen:
		ms := min(l.ClaimMS+uint64(b)*20, 190_000)
		ev.Receipt.BillableMS, ev.Receipt.Amount = ms, Amount(ms)
		return ev
	case CapAsked:
		return CapAsked{Cap: Amount(b) * 2000}
	case CapAnswered:
		return CapAnswered{Cap: l.CapWanted}
	case OutcomeAgreed:
		return OutcomeAgreed{KeepChannel: b > 128}
	case OutputsServed:
		return OutputsServed{Root: [32]byte{b & 1}}
	case OutputsHashed:
		return OutputsHashed{Root: [32]byte{b & 1}}
	default:
		return ev
	}
}

// TestLease_TopUp_SurvivesARestart: a node that ended between the commit and the question for more money asks again.
func TestLease_TopUp_SurvivesARestart(t *testing.T) {
	t.Parallel()
	b := bought(t, testTerms()).do(FundsSeen{LeaseMax: 6000}).after(5 * time.Second)
	b.do(b.receipt(1, 5000, Running))
	must[TopUp](b)
	b.do(Restarted{SameBoot: true, BootMS: b.boot()})
	must[TopUp](b)
	b.do(FundsSeen{LeaseMax: 60_000}, Restarted{SameBoot: true, BootMS: b.boot()})
	if _, again := emitted[TopUp](b); again {
		t.Error("what has come is asked for again")
	}
}
