package market

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// waiting is an order that waits an hour for a rig, and quotes.
func waiting(t testing.TB) Purchase {
	t.Helper()
	p, err := NewPurchase(OrderID{1}, PurchaseTerms{Budget: 1000, Wait: time.Hour, Retry: 1}, false, t0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func nobody(p Purchase) NoQuote {
	return NoQuote{Round: p.Round, Scarce: true, Patience: 10 * time.Second, Again: 10 * time.Minute, Waits: "none",
		Why: Reason{Code: CodeNoOfferFits, Detail: "12 without h100"}}
}

// TestPurchase_Wait_LastsAsItWasTold: an order without a rig asks again at each change of the book and when it is time,
// until its wait is over; the end says so and keeps no channel.
func TestPurchase_Wait_LastsAsItWasTold(t *testing.T) {
	t.Parallel()
	p := waiting(t)
	if p.Wants() {
		t.Error("it wants a rig before anybody was asked")
	}
	p = onto(t, p, t0.Add(time.Second), nobody(p))
	if p.Stage != StageSearching || !p.Wants() || !p.WaitsUntil().Equal(t0.Add(time.Hour)) {
		t.Fatalf("%s, wants %v, until %s", p.Stage, p.Wants(), p.WaitsUntil())
	}
	p = onto(t, p, t0.Add(30*time.Minute), BookMoved{p.Round})
	if p.Stage != StageQuoting || !p.Wants() {
		t.Errorf("%s, wants %v: while it asks, it still waits", p.Stage, p.Wants())
	}
	p = onto(t, p, t0.Add(55*time.Minute), nobody(p))
	if !p.Again.Equal(t0.Add(time.Hour)) {
		t.Errorf("the last look is at %s", p.Again)
	}
	p = onto(t, p, p.Again, OrderTick{})
	if p = onto(t, p, t0.Add(time.Hour), nobody(p)); p.End.Code != CodeNoRigCame || p.Wants() ||
		!strings.Contains(p.End.Detail, "waited 1h for a rig: 12 without h100") || p.Stage != StageOver ||
		p.Channel != (ChannelID{}) {
		t.Errorf("%s: %+v", p.Stage, p.End)
	}
}

// TestPurchase_Wait_EndsEarly: at a rig, at its user's word, and at what no rig can mend.
func TestPurchase_Wait_EndsEarly(t *testing.T) {
	t.Parallel()
	p := waiting(t)
	p = onto(t, p, t0, nobody(p))
	if q := onto(t, p, t0.Add(time.Minute), OrderStopped{}); q.Stage != StageOver || q.End.Code != CodeStopped ||
		q.Wants() {
		t.Errorf("stopped: %s, %+v", q.Stage, q.End)
	}
	p = onto(t, p, t0.Add(time.Minute), BookMoved{p.Round})
	if q := onto(t, p, t0.Add(time.Minute), NoQuote{Round: p.Round, Why: Reason{Code: CodeFundsShort}}); q.Stage !=
		StageOver || q.End.Code != CodeFundsShort {
		t.Errorf("without money: %s, %+v", q.Stage, q.End)
	}
	q := onto(t, p, t0.Add(time.Minute), QuoteChosen{p.Round, NodeID{7}, 5})
	if q.Stage != StageFunding || q.Wants() {
		t.Errorf("chosen: %s, wants %v", q.Stage, q.Wants())
	}
	// the rig that came is gone again long after an order without a wait would have given up
	q = onto(t, q, t0.Add(40*time.Minute), NoChannel{Round: q.Round, Passes: true, Why: Reason{Code: CodeBusy}})
	if q.Stage != StageQuoting {
		t.Errorf("lost its rig: %s, %+v", q.Stage, q.End)
	}
}

// TestPurchase_Wait_SurvivesAStart: the end of the wait is counted from the placing on, whatever happens between; the
// row that is stored keeps it.
func TestPurchase_Wait_SurvivesAStart(t *testing.T) {
	t.Parallel()
	p := waiting(t)
	p = onto(t, p, t0, nobody(p))
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var again Purchase
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	again = onto(t, again, t0.Add(50*time.Minute), NodeStarted{})
	again = onto(t, again, t0.Add(50*time.Minute), nobody(again))
	if again.Stage != StageSearching || !again.WaitsUntil().Equal(t0.Add(time.Hour)) || !again.Wants() {
		t.Errorf("%s until %s", again.Stage, again.WaitsUntil())
	}
	again = onto(t, again, t0.Add(61*time.Minute), OrderTick{})
	if again = onto(t, again, t0.Add(61*time.Minute), nobody(again)); again.End.Code != CodeNoRigCame {
		t.Errorf("%s: %+v", again.Stage, again.End)
	}
}

// TestPurchase_Wait_RetryIsAnotherMatter: a loss after the wait is over is retried as one without a wait.
func TestPurchase_Wait_RetryIsAnotherMatter(t *testing.T) {
	t.Parallel()
	p := waiting(t)
	p = onto(t, p, t0, QuoteChosen{p.Round, somebody, 5}, ChannelReady{p.Round, ChannelID{9}, 300},
		LeaseSigned{p.Round, someLease})
	later := t0.Add(2 * time.Hour)
	p = onto(t, p, later, lost(p, 100))
	p = onto(t, p, later, nobody(p))
	if p.Stage != StageSearching {
		t.Errorf("%s: %+v", p.Stage, p.End)
	}
}
