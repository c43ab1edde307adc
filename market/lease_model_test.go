package market

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world joins both machines by a pipe that loses, delays and thereby reorders messages.
type world struct {
	t            *rapid.T
	p, c         Lease
	now          time.Time
	pipe         []letter
	loss         int // of 100
	lag          time.Duration
	rnd          *rand.Rand
	customerGone bool
	exitAfter    time.Duration
}

type letter struct {
	at         time.Time
	toProvider bool
	msg        any
}

func (w *world) boot() uint64 { return uint64(w.now.Sub(t0).Milliseconds()) + 1 }

func (w *world) send(toProvider bool, msg any) {
	if w.rnd.IntN(100) < w.loss {
		return
	}
	d := time.Duration(w.rnd.Int64N(int64(w.lag)))
	w.pipe = append(w.pipe, letter{w.now.Add(d), toProvider, msg})
}

func (w *world) status() Status {
	cause := string(w.p.Code)
	if w.p.State == Paused {
		cause = w.p.Cause
	}
	return Status{State: w.p.State, Cause: cause, ExitCode: w.p.Exit}
}

// provider applies an event that must be legal or harmless, and acts.
func (w *world) provider(ev Event) {
	l, eff, err := w.p.Apply(ev, w.now)
	if err != nil {
		if w.p.Legal(ev) {
			w.t.Fatalf("provider: %T in %s: %v", ev, w.p.State, err)
		}
		return
	}
	w.p = l
	tau := l.price(l.Terms.Tick)
	if u := sub(l.Owed(), l.Paid); u > tau+1 {
		w.t.Fatalf("provider works unpaid: owed %d, paid %d, tick %d", l.Owed(), l.Paid, tau)
	}
	for _, e := range eff {
		switch e := e.(type) {
		case SendReceipt:
			w.send(false, e.Receipt)
		case SendStatus:
			w.send(false, w.status())
		}
	}
}

func (w *world) customer(ev Event) {
	before := w.c
	l, eff, err := w.c.Apply(ev, w.now)
	if err != nil {
		if w.c.Legal(ev) {
			w.t.Fatalf("customer: %T in %s: %v", ev, w.c.State, err)
		}
		return
	}
	w.c = l
	if l.Signed < before.Signed {
		w.t.Fatalf("signed fell from %d to %d", before.Signed, l.Signed)
	}
	if l.Signed > before.Signed {
		// The allowance is judged as it was when it was signed: before, two minutes may not have been paid.
		l.Signed = before.Signed
		if w.c.Signed > min(l.buyer(nil).trusted(), l.Limit()) {
			w.t.Fatalf("signed %d, own %d, ahead %d", w.c.Signed, l.Owed(), l.buyer(nil).ahead())
		}
	}
	for _, e := range eff {
		switch e := e.(type) {
		case SignPayment:
			if e.LeaseAmount != w.c.Signed {
				w.t.Fatalf("effect says %d, lease %d", e.LeaseAmount, w.c.Signed)
			}
			w.send(true, PaymentStored{LeaseAmount: e.LeaseAmount, ReceiptSeq: e.ReceiptSeq})
		case SendStop:
			w.send(true, StopAsked{By: CustomerSide, Code: e.Code, Grace: e.Grace})
		case AskStatus:
			w.send(true, "status?")
		case FetchOutputs:
			w.customer(OutputsVerified{})
		case SendOutcome:
			w.send(true, l.Outcome())
		}
	}
}

func (w *world) deliver() {
	var rest []letter
	pipe := w.pipe
	w.pipe = nil
	for _, m := range pipe {
		if m.at.After(w.now) {
			rest = append(rest, m)
			continue
		}
		if w.customerGone && !m.toProvider {
			continue
		}
		switch msg := m.msg.(type) {
		case Receipt:
			w.customer(ReceiptSeen{Receipt: msg, BootMS: w.boot()})
		case Status:
			w.customer(StatusSeen{Status: msg, BootMS: w.boot()})
		case PaymentAcked:
			w.customer(msg)
		case PaymentStored:
			w.provider(msg)
			w.send(false, PaymentAcked{LeaseAmount: msg.LeaseAmount})
		case StopAsked:
			w.provider(msg)
		case Outcome:
			if w.p.State >= Closing {
				if msg.Code != CodeMeterDispute &&
					(msg.Amount != w.p.Owed() || msg.BillableMS != w.p.Meter.BillableMS) {
					w.t.Fatalf("outcome %d of %d ms, %q; owed %d of %d ms\ncustomer %+v", msg.Amount, msg.BillableMS,
						msg.Code, w.p.Owed(), w.p.Meter.BillableMS, w.c)
				}
				w.provider(OutputsServed{})
				w.provider(OutcomeAgreed{})
				w.send(false, "agreed")
			}
		case string:
			if m.toProvider {
				w.send(false, w.status())
				if w.p.ReceiptSeq > 0 {
					w.send(false, w.p.LastReceipt())
				}
			} else {
				w.customer(OutcomeAgreed{})
			}
		}
	}
	w.pipe = append(w.pipe, rest...)
}

// tick advances both nodes by d.
func (w *world) tick(d time.Duration) {
	w.now = w.now.Add(d)
	switch phase, _ := w.p.Want(); {
	case w.p.State == Releasing:
		w.provider(JobGone{})
		w.provider(DevicesClear{})
	case phase == WantRunning && w.p.State != Preparing:
		w.provider(JobSeen{BootMS: w.boot()})
	case w.p.State == Stopping && w.now.Sub(w.p.Since) > 3*time.Second:
		w.provider(JobExited{Exit: 143, BootMS: w.boot()})
	case w.p.State == Stopping:
		w.provider(JobSeen{BootMS: w.boot()})
	}
	if w.exitAfter > 0 && w.p.State == Running && w.now.Sub(w.p.Ready) > w.exitAfter {
		w.provider(JobExited{BootMS: w.boot()})
	}
	w.deliver()
	if at := w.p.NextTimer(w.now); !at.IsZero() && !at.After(w.now) {
		w.provider(Timer{BootMS: w.boot()})
	}
	if !w.customerGone && w.now.UnixMilli()%500 < d.Milliseconds() {
		w.customer(Timer{BootMS: w.boot()})
	}
}

func newWorld(t *rapid.T) *world {
	terms := testTerms()
	terms.Tick = time.Duration(rapid.IntRange(1, 10).Draw(t, "tick")) * time.Second
	// Below, one unit lasts longer than a tick and exposure is counted in units; 0 is free.
	terms.Rate = Rate(rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(100_000, 1_000_000_000)).Draw(t, "rate"))
	terms.Devices = rapid.IntRange(1, 8).Draw(t, "devices")
	terms.Prepay = rapid.Bool().Draw(t, "prepay")
	terms.MaxDuration = 20 * time.Minute
	whole, err := terms.Rate.For(terms.Devices, terms.MaxDuration)
	if err != nil {
		t.Fatal(err)
	}
	terms.Cap = max(1, whole/Amount(rapid.IntRange(1, 8).Draw(t, "cap")))
	terms.StopGrace = 10 * time.Second
	if rapid.Bool().Draw(t, "away") {
		terms.Away, terms.AwayMax = 2*time.Minute, whole
	}
	p, err := NewLease(LeaseID{3}, ProviderSide, terms)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewLease(LeaseID{3}, CustomerSide, terms)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, p: p, c: c, now: t0, loss: rapid.SampledFrom([]int{0, 5, 20, 50}).Draw(t, "loss%"),
		lag:       time.Duration(rapid.IntRange(1, 400).Draw(t, "lagms")) * time.Millisecond,
		rnd:       rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
		exitAfter: time.Duration(rapid.IntRange(0, 300).Draw(t, "exit")) * time.Second,
	}
	w.customer(Placed{})
	w.provider(Accepted{})
	w.customer(DecisionSeen{Accepted: true})
	w.now = w.now.Add(time.Second)
	w.provider(JobReady{BootMS: w.boot()})
	return w
}

// TestLease_Model: over a lossy pipe, with a customer that may sleep and stop, nobody loses more than a tick, nothing
// is signed beyond the rules, and once the pipe is whole both sides end with the same sum, fully signed.
func TestLease_Model(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		dt := w.p.ProbeEvery()
		steps := rapid.IntRange(50, 800).Draw(t, "steps")
		sleepAt := rapid.IntRange(0, steps).Draw(t, "sleepAt")
		sleepFor := rapid.SampledFrom([]int{0, 0, 100, 400}).Draw(t, "sleepFor")
		for i := range steps {
			w.customerGone = i >= sleepAt && i < sleepAt+sleepFor
			w.tick(dt)
		}
		// Beyond, pauses and gaps come so often that the own meter may fall a tick behind: then a dispute is allowed, a
		// loss of more is not.
		calm := w.loss <= 5 && w.lag <= w.p.Terms.Tick/20
		w.customerGone, w.loss = false, 0
		w.customer(StopAsked{By: CustomerSide})
		for range 20_000 {
			w.tick(dt)
			if w.p.Terminal() && w.c.Terminal() {
				break
			}
		}
		if w.p.State != Ended || w.c.State != Ended {
			t.Fatalf("provider %s (%s), customer %s (%s)", w.p.State, w.p.Code, w.c.State, w.c.Code)
		}
		if w.c.Code == CodeMeterDispute && calm {
			t.Fatal("honest sides came to a dispute")
		}
		owed, tau := w.p.Owed(), w.c.price(w.c.Terms.Tick)
		if w.c.Final && (w.c.Claim != owed || calm && sleepFor == 0 && w.c.Signed < owed || w.c.Signed+tau+1 < owed) {
			t.Fatalf("owed %d, claim %d, signed %d", owed, w.c.Claim, w.c.Signed)
		}
		if w.c.Terms.Away == 0 && !w.c.Terms.Prepay && w.c.Signed > owed {
			t.Fatalf("signed %d over the %d owed", w.c.Signed, owed)
		}
	})
}

// FuzzLeaseApply feeds arbitrary event sequences: no panic, invariants hold, money never shrinks, terminal states stay.
func FuzzLeaseApply(f *testing.F) {
	f.Add([]byte{0, 2, 4, 4, 11, 30}, false)
	f.Add([]byte{17, 18, 20, 20, 26, 30}, true)
	f.Fuzz(func(t *testing.T, script []byte, customer bool) {
		side := ProviderSide
		if customer {
			side = CustomerSide
		}
		l, err := NewLease(LeaseID{4}, side, testTerms())
		if err != nil {
			t.Fatal(err)
		}
		now := t0
		for i, b := range script[:min(len(script), 400)] {
			now = now.Add(time.Duration(b) * 97 * time.Millisecond)
			ev := fuzzEvent(b, uint64(now.Sub(t0).Milliseconds())+1, uint64(i))
			next, _, err := l.Apply(ev, now)
			if err != nil {
				if next != l {
					t.Fatalf("%T: changed on %v", ev, err)
				}
				continue
			}
			if err := next.Valid(); err != nil {
				t.Fatal(err)
			}
			if next.Meter.BillableMS < l.Meter.BillableMS || next.Signed < l.Signed || next.Claim < l.Claim ||
				l.Terminal() && next.State != l.State {
				t.Fatalf("%T: went back from %+v to %+v", ev, l, next)
			}
			l = next
		}
	})
}

func fuzzEvent(b byte, boot, i uint64) Event {
	amount := Amount(b) * 3000
	st := LeaseState(b>>3)%12 + 1
	switch kind(b % byte(numKinds)) {
	case kJobReady:
		return JobReady{BootMS: boot}
	case kJobSeen:
		return JobSeen{BootMS: boot}
	case kJobExited:
		return JobExited{Exit: int32(b), BootMS: boot}
	case kPayment:
		return PaymentStored{LeaseAmount: amount, ReceiptSeq: i / 2}
	case kHeadroom:
		return HeadroomSeen{Left: amount}
	case kDecision:
		return DecisionSeen{Accepted: b < 128, Code: CodeBusy}
	case kStatus:
		return StatusSeen{Status: Status{State: st, Cause: "stopped"}, BootMS: boot, WrongDevices: b > 250}
	case kReceipt:
		return ReceiptSeen{Receipt: Receipt{Seq: i, BillableMS: uint64(amount), Amount: amount, State: st,
			Final: st == Closing}, BootMS: boot}
	case kHeard:
		return Heard{BootMS: boot}
	case kFunds:
		return FundsSeen{LeaseMax: amount}
	case kPaymentAcked:
		return PaymentAcked{LeaseAmount: amount}
	case kStop:
		return StopAsked{By: Side(b%2) + 1, Grace: time.Duration(int(b)-100) * time.Second}
	case kRestarted:
		return Restarted{SameBoot: b < 128, BootMS: boot}
	case kTimer:
		return Timer{BootMS: boot, Offline: b > 200}
	}
	return everyEvent()[b%byte(numKinds)]
}
