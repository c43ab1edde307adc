package market

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

var (
	somebody  = NodeID{7}
	someChan  = ChannelID{8}
	someLease = LeaseID{9}
	stages    = []Stage{StageInputs, StageSearching, StageQuoting, StageFunding, StageProposing, StageLeased,
		StageRefunding, StageOver}
)

// onto applies events that have to be legal.
func onto(t testing.TB, p Purchase, now time.Time, evs ...PurchaseEvent) Purchase {
	t.Helper()
	for _, ev := range evs {
		next, due, err := p.Apply(ev, now)
		if err != nil {
			t.Fatalf("%T while %s: %v", ev, p.Stage, err)
		}
		if !reflect.DeepEqual(due, next.Due()) {
			t.Fatalf("%T says %v is due, the state %v", ev, due, next.Due())
		}
		p = next
	}
	return p
}

// purchaseAt brings a purchase with two retries to a stage, on the way that all take.
func purchaseAt(t testing.TB, st Stage, change func(*PurchaseTerms)) Purchase {
	t.Helper()
	terms := PurchaseTerms{Budget: 1000, Retry: 2}
	if change != nil {
		change(&terms)
	}
	p, err := NewPurchase(OrderID{1}, terms, true, t0)
	if err != nil {
		t.Fatal(err)
	}
	for p.Stage < st {
		var ev PurchaseEvent
		switch p.Stage {
		case StageInputs:
			ev = InputsHere{}
			if st == StageSearching {
				p = onto(t, p, t0, ev)
				return onto(t, p, t0, NoQuote{Round: p.Round, Patience: time.Minute, Again: 5 * time.Second})
			}
		case StageQuoting:
			ev = QuoteChosen{p.Round, somebody, 5}
		case StageFunding:
			ev = ChannelReady{p.Round, someChan, 400}
		case StageProposing:
			ev = LeaseSigned{p.Round, someLease}
		case StageLeased:
			ev = LeaseOver{Lease: someLease, State: Ended, Code: "completed", Fault: FaultNone, Signed: 90, Owed: 90}
		case StageRefunding:
			ev = Settled{Channel: someChan, Lease: someLease, Paid: 90, Returned: 310}
		}
		p = onto(t, p, t0, ev)
	}
	return p
}

// purchaseEvents is one event of each kind, as it comes to p.
func purchaseEvents(p Purchase) []PurchaseEvent {
	return []PurchaseEvent{
		InputsHere{},
		QuoteChosen{p.Round, somebody, 5},
		NoQuote{Round: p.Round, Patience: time.Minute, Again: time.Second},
		BookMoved{p.Round},
		ChannelReady{p.Round, someChan, 400},
		NoChannel{Round: p.Round, Why: Reason{Code: "busy"}, Passes: true},
		LeaseSigned{p.Round, someLease},
		LeaseOver{Lease: someLease, State: Ended, Code: "completed", Fault: FaultNone},
		LeaseGone{someLease},
		OrderStopped{},
		StopTold{1},
		BudgetRaised{2000},
		OrderFailed{Reason{Code: "internal"}},
		OrderTick{},
		Settled{Channel: someChan, Lease: p.Lease, Paid: 90, Returned: 310},
		RefundWaits{someChan},
		NodeStarted{},
	}
}

// cells names what each event does in each stage, in the order of stages: a stage it goes to, "=" where it stays, "no"
// where it is illegal.
var cells = map[string][8]string{
	//              inputs     searching  quoting      funding      proposing    leased       refunding  over
	"InputsHere":   {"quoting", "no", "no", "no", "no", "no", "no", "no"},
	"QuoteChosen":  {"no", "no", "funding", "no", "no", "no", "no", "no"},
	"NoQuote":      {"no", "no", "searching", "no", "no", "no", "no", "no"},
	"BookMoved":    {"no", "quoting", "no", "no", "no", "no", "no", "no"},
	"ChannelReady": {"no", "no", "no", "proposing", "no", "no", "no", "no"},
	"NoChannel":    {"no", "no", "no", "quoting", "quoting", "no", "no", "no"},
	"LeaseSigned":  {"no", "no", "no", "no", "leased", "no", "no", "no"},
	"LeaseOver":    {"no", "no", "no", "no", "no", "refunding", "no", "no"},
	"LeaseGone":    {"no", "no", "no", "no", "no", "no", "=", "="},
	"OrderStopped": {"over", "over", "over", "=", "=", "=", "=", "="},
	"StopTold":     {"no", "no", "no", "no", "no", "=", "=", "="},
	"BudgetRaised": {"no", "no", "no", "no", "no", "=", "=", "="},
	"OrderFailed":  {"over", "over", "over", "over", "refunding", "refunding", "no", "no"},
	"OrderTick":    {"=", "=", "=", "=", "=", "=", "=", "="},
	"Settled":      {"=", "=", "=", "=", "=", "=", "over", "="},
	"RefundWaits":  {"no", "no", "no", "no", "no", "no", "over", "no"},
	"NodeStarted":  {"=", "quoting", "=", "quoting", "quoting", "=", "=", "="},
}

// TestPurchase_Table holds the machine against the named cells: each kind of event in each stage.
func TestPurchase_Table(t *testing.T) {
	t.Parallel()
	if n := len(purchaseEvents(Purchase{})); n != int(numPurchaseKinds) || len(cells) != n {
		t.Fatalf("%d events, %d rows, %d kinds", n, len(cells), numPurchaseKinds)
	}
	for i, st := range stages {
		p := purchaseAt(t, st, nil)
		if p.Stage != st {
			t.Fatalf("got to %s, want %s", p.Stage, st)
		}
		for _, ev := range purchaseEvents(p) {
			name := reflect.TypeOf(ev).Name()
			row, ok := cells[name]
			if !ok || row[i] == "" {
				t.Errorf("no cell for %s while %s", name, st)
				continue
			}
			next, _, err := p.Apply(ev, t0)
			got := next.Stage.String()
			switch {
			case errors.Is(err, ErrIllegal):
				got = "no"
			case err != nil:
				t.Errorf("%s while %s: %v", name, st, err)
			case next.Stage == st:
				got = "="
			}
			if got != row[i] {
				t.Errorf("%s while %s: %s, want %s", name, st, got, row[i])
			}
			if err != nil && !reflect.DeepEqual(next, p) {
				t.Errorf("%s while %s has changed something", name, st)
			}
		}
	}
}

// TestPurchase_OldRounds_AreIllegal: what an earlier look brings comes too late.
func TestPurchase_OldRounds_AreIllegal(t *testing.T) {
	t.Parallel()
	for st, ev := range map[Stage]PurchaseEvent{
		StageQuoting: QuoteChosen{Round: 0}, StageSearching: BookMoved{0}, StageFunding: ChannelReady{Round: 0},
		StageProposing: LeaseSigned{Round: 0, Lease: someLease},
		StageLeased:    LeaseOver{Lease: LeaseID{1}, State: Ended},
	} {
		if _, _, err := purchaseAt(t, st, nil).Apply(ev, t0); !errors.Is(err, ErrIllegal) {
			t.Errorf("%T while %s: %v", ev, st, err)
		}
	}
}

func TestPurchase_Search_WaitsAsLongAsItMay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ev  NoQuote
		now time.Duration
		end Code
	}{
		"final":    {NoQuote{Why: Reason{Code: "quote-refused"}}, 0, "quote-refused"},
		"may pass": {NoQuote{Patience: time.Minute, Why: Reason{Code: "a"}}, 59 * time.Second, ""},
		"over":     {NoQuote{Patience: time.Minute, Why: Reason{Code: "a"}}, time.Minute, "a"},
		"rented":   {NoQuote{Patience: 5 * time.Minute, Rented: true}, 4 * time.Minute, ""},
		"rented for too long": {NoQuote{Patience: 5 * time.Minute, Rented: true, Why: Reason{Code: "busy"}},
			5 * time.Minute, "busy"},
		"longer than any order": {NoQuote{Patience: time.Hour, Why: Reason{Code: "b"}}, 5 * time.Minute, "b"},
	} {
		p := purchaseAt(t, StageQuoting, nil)
		c.ev.Round, c.ev.Again = p.Round, time.Second
		p = onto(t, p, t0.Add(c.now), c.ev)
		if p.End.Code != c.end || (c.end == "") != (p.Stage == StageSearching) {
			t.Errorf("%s: %s %q, want %q", name, p.Stage, p.End.Code, c.end)
		}
		if c.end == "" && onto(t, p, p.Again, OrderTick{}).Stage != StageQuoting {
			t.Errorf("%s: it does not ask again", name)
		}
	}
}

// lost is a loss of the lease that p follows.
func lost(p Purchase, signed Amount) LeaseOver {
	return LeaseOver{Lease: p.Lease, State: Closing, Code: CodeProviderSilent, Fault: FaultProvider, Signed: signed,
		Owed: signed / 2}
}

// again brings a purchase that quotes to its next lease.
func again(t testing.TB, p Purchase, n byte) Purchase {
	return onto(t, p, t0, QuoteChosen{p.Round, NodeID{n}, 5}, ChannelReady{p.Round, ChannelID{n}, 300},
		LeaseSigned{p.Round, LeaseID{n}})
}

func TestPurchase_Loss_IsRetriedWithinTheBudget(t *testing.T) {
	t.Parallel()
	p := purchaseAt(t, StageLeased, nil)
	p = onto(t, p, t0, lost(p, 250))
	if p.Stage != StageQuoting || p.Left() != 750 || len(p.Lost) != 1 || p.Lost[0].Provider != somebody {
		t.Fatalf("%s, %d left, %+v", p.Stage, p.Left(), p.Lost)
	}
	p = again(t, p, 2)
	if p = onto(t, p, t0, lost(p, 100)); p.Left() != 1000-250-100-150 {
		t.Errorf("%d left: the first channel's deposit is not home", p.Left())
	}
	if p = onto(t, p, t0, Settled{Channel: someChan, Lease: someLease, Paid: 200, Returned: 200}); p.Left() != 700 {
		t.Errorf("%d left: the first lost provider took 200, the second can take 100", p.Left())
	}
	p = again(t, p, 3)
	if p = onto(t, p, t0, lost(p, 10)); p.Stage != StageRefunding || p.End.Code != CodeProviderSilent || p.Failed {
		t.Fatalf("the third loss: %s, %+v", p.Stage, p.End)
	}
	if !p.Lingers || p.Cost() != 200+50 {
		t.Errorf("lingers %v, %d lost", p.Lingers, p.Cost())
	}
}

func TestPurchase_Loss_EndsTheOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		terms func(*PurchaseTerms)
		ev    LeaseOver
		stop  bool
	}{
		"no retry":            {func(t *PurchaseTerms) { t.Retry = 0 }, LeaseOver{Fault: FaultProvider}, false},
		"the job's own fault": {nil, LeaseOver{Fault: FaultCustomer}, false},
		"nobody's fault":      {nil, LeaseOver{Fault: FaultNone}, false},
		"nothing is left":     {nil, LeaseOver{Fault: FaultProvider, Signed: 1000}, false},
		"stopped meanwhile":   {nil, LeaseOver{Fault: FaultProvider}, true},
	} {
		p := purchaseAt(t, StageLeased, c.terms)
		if c.stop {
			p = onto(t, p, t0, OrderStopped{})
		}
		c.ev.Lease, c.ev.State, c.ev.Code = p.Lease, Ended, "device-lost"
		if p = onto(t, p, t0, c.ev); p.Stage != StageRefunding || p.End.Code != "device-lost" {
			t.Errorf("%s: %s %+v", name, p.Stage, p.End)
		}
	}
}

func TestPurchase_Refused_SearchesOnWhileItMay(t *testing.T) {
	t.Parallel()
	p := purchaseAt(t, StageLeased, nil)
	for name, c := range map[string]struct {
		ev   LeaseOver
		at   time.Duration
		want Stage
	}{
		"may pass":            {LeaseOver{State: Refused, Passes: true}, 0, StageQuoting},
		"for too long":        {LeaseOver{State: Refused, Passes: true}, 6 * time.Minute, StageRefunding},
		"for good":            {LeaseOver{State: Refused, Code: "policy"}, 0, StageRefunding},
		"for its old channel": {LeaseOver{State: Refused, Unfit: true}, 6 * time.Minute, StageQuoting},
		"not answered":        {LeaseOver{State: Lapsed, Passes: true}, 0, StageQuoting},
	} {
		c.ev.Lease, c.ev.Fault = p.Lease, FaultProvider
		got := onto(t, p, t0.Add(c.at), c.ev)
		if got.Stage != c.want || len(got.Lost) > 0 || got.Stage == StageRefunding && !got.Failed {
			t.Errorf("%s: %s, want %s; %+v", name, got.Stage, c.want, got)
		}
	}
}

func TestPurchase_Limits_StopIt(t *testing.T) {
	t.Parallel()
	ttl := func(p *PurchaseTerms) { p.TTL = time.Hour }
	for _, st := range stages[:6] {
		p := purchaseAt(t, st, ttl)
		if p.Stage == StageSearching {
			p.Again = t0.Add(2 * time.Hour)
		}
		if at := p.NextTimer(); !at.Equal(t0.Add(time.Hour)) {
			t.Errorf("%s: the timer is at %s", st, at)
		}
		if q := onto(t, p, t0.Add(time.Hour-1), OrderTick{}); q.Stopping() {
			t.Errorf("%s: too early", st)
		}
		p = onto(t, p, t0.Add(time.Hour), OrderTick{})
		if p.StopCode != CodeOrderExpired || st < StageFunding && p.End.Code != CodeOrderExpired {
			t.Errorf("%s: %s %+v", st, p.StopCode, p.End)
		}
		if !p.NextTimer().IsZero() {
			t.Errorf("%s: it asks for more timers", st)
		}
	}
	idle := purchaseAt(t, StageLeased, func(p *PurchaseTerms) { p.IdleStop = 10 * time.Minute })
	used := onto(t, idle, t0.Add(10*time.Minute), OrderTick{Used: t0.Add(4 * time.Minute)})
	if used.Stopping() || !used.NextTimer().Equal(t0.Add(14*time.Minute)) {
		t.Errorf("heard 6 min ago, and stopped %v, next look %s", used.Stopping(), used.NextTimer())
	}
	p := onto(t, used, t0.Add(14*time.Minute), OrderTick{Used: t0.Add(4 * time.Minute)})
	want := StopLease{p.Lease, CodeIdleStop, false, 1}
	if due := p.Due(); len(due) != 2 || due[1] != want {
		t.Errorf("due: %+v", due)
	}
	if p = onto(t, p, t0, StopTold{1}); len(p.Due()) != 1 {
		t.Errorf("told, and due: %+v", p.Due())
	}
}

// TestPurchase_JSON_IsTheSame: a purchase survives the store in every stage.
func TestPurchase_JSON_IsTheSame(t *testing.T) {
	t.Parallel()
	for _, st := range stages {
		p := purchaseAt(t, st, nil)
		b, err := json.Marshal(p)
		var back Purchase
		if err = errors.Join(err, json.Unmarshal(b, &back)); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", back) != fmt.Sprintf("%+v", p) {
			t.Errorf("%s:\n got %+v\nwant %+v", st, back, p)
		}
	}
}
