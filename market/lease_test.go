package market

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// testTerms: one device at 3,600,000 units an hour, so a millisecond costs one unit and a tick of 10 s 10,000.
func testTerms() Terms {
	return Terms{
		Rate: 3_600_000, Devices: 1, Tick: 10 * time.Second, Hold: 2 * time.Minute, PrepMax: 3 * time.Minute,
		MaxDuration: time.Hour, StopGrace: 30 * time.Second, Cap: 3_600_000, AcceptUntil: t0.Add(15 * time.Second),
	}
}

// bench drives one lease; its clock and boot clock advance together.
type bench struct {
	t   *testing.T
	l   Lease
	now time.Time
	eff []Effect
}

func newBench(t *testing.T, side Side, terms Terms) *bench {
	t.Helper()
	l, err := NewLease(LeaseID{1}, side, terms)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, l: l, now: t0}
}

func (b *bench) boot() uint64 { return uint64(b.now.Sub(t0).Milliseconds()) + 1000 }

func (b *bench) after(d time.Duration) *bench { b.now = b.now.Add(d); return b }

func (b *bench) do(evs ...Event) *bench {
	b.t.Helper()
	for _, ev := range evs {
		l, eff, err := b.l.Apply(ev, b.now)
		if err != nil {
			b.t.Fatalf("%T in %s: %v", ev, b.l.State, err)
		}
		b.l, b.eff = l, eff
	}
	return b
}

func (b *bench) want(st LeaseState, code Code, fault Fault) {
	b.t.Helper()
	if b.l.State != st || b.l.Code != code || b.l.Fault != fault {
		b.t.Fatalf("state %s, code %q, fault %s; want %s, %q, %s", b.l.State, b.l.Code, b.l.Fault, st, code, fault)
	}
}

func emitted[E Effect](b *bench) (e E, ok bool) {
	for _, x := range b.eff {
		if v, is := x.(E); is {
			e, ok = v, true
		}
	}
	return e, ok
}

func must[E Effect](b *bench) E {
	b.t.Helper()
	e, ok := emitted[E](b)
	if !ok {
		b.t.Fatalf("no %T in %v", e, b.eff)
	}
	return e
}

// run sends proofs each 250 ms for d.
func (b *bench) run(d time.Duration) *bench {
	b.t.Helper()
	var all []Effect
	for end := b.now.Add(d); b.now.Before(end); {
		b.after(250 * time.Millisecond).do(JobSeen{BootMS: b.boot()})
		all = append(all, b.eff...)
	}
	b.eff = all
	return b
}

func running(t *testing.T, terms Terms) *bench {
	t.Helper()
	b := newBench(t, ProviderSide, terms)
	return b.do(Accepted{}).after(time.Second).do(JobReady{BootMS: b.boot()})
}

func bought(t *testing.T, terms Terms) *bench {
	t.Helper()
	b := newBench(t, CustomerSide, terms)
	return b.do(Placed{}, DecisionSeen{Accepted: true}, StatusSeen{Status: Status{State: Running}, BootMS: b.boot()})
}

func (b *bench) receipt(seq, ms uint64, st LeaseState) ReceiptSeen {
	a, err := b.l.Terms.Rate.For(b.l.Terms.Devices, time.Duration(ms)*time.Millisecond)
	if err != nil {
		b.t.Fatal(err)
	}
	return ReceiptSeen{Receipt: Receipt{Seq: seq, BillableMS: ms, Amount: a, State: st, Final: st >= Releasing},
		BootMS: b.boot()}
}

func TestLease_Unpaid_FreezesBeforeOneTick(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(5 * time.Second)
	if r := must[SendReceipt](b).Receipt; r.Amount != 5000 || r.BillableMS != 5000 {
		t.Fatalf("receipt at half a tick: %+v", r)
	}
	b.run(5 * time.Second)
	b.want(Paused, "", 0)
	if b.l.Cause != CauseUnpaid || b.l.Owed() != 9500 {
		t.Fatalf("cause %q, owed %d", b.l.Cause, b.l.Owed())
	}
	if w := must[WantJob](b); w.Phase != WantPaused {
		t.Fatalf("want %v", w)
	}
	b.do(PaymentStored{LeaseAmount: 4400, ReceiptSeq: b.l.ReceiptSeq})
	b.want(Paused, "", 0) // 5,100 unpaid are more than half a tick
	b.do(PaymentStored{LeaseAmount: 9500, ReceiptSeq: b.l.ReceiptSeq})
	b.want(Running, "", 0)
	b.after(time.Minute).do(JobSeen{BootMS: b.boot()}).run(time.Second)
	if b.l.Owed() != 10_500 {
		t.Fatalf("the pause was billed: %d", b.l.Owed())
	}
}

func TestLease_HoldOver_EndsOverdueWithDebt(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(10 * time.Second).after(2 * time.Minute).do(Timer{})
	b.want(Releasing, CodePaymentOverdue, FaultCustomer)
	if b.l.Debt != 9500 {
		t.Fatalf("debt %d", b.l.Debt)
	}
	must[ClaimNow](b)
	if r := must[SendReceipt](b).Receipt; !r.Final {
		t.Fatal("last receipt is not final")
	}
	b.do(JobGone{}, DevicesClear{}, OutputsServed{}, OutcomeAgreed{})
	b.want(Ended, CodePaymentOverdue, FaultCustomer)
	b.do(PaymentStored{LeaseAmount: 9500, ReceiptSeq: b.l.ReceiptSeq})
	if b.l.Debt != 0 {
		t.Fatalf("debt after payment %d", b.l.Debt)
	}
}

func TestLease_ParkedPauses_EndAfterTenMinutesInAll(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms())
	for range 6 {
		b.run(10 * time.Second)
		if b.l.State != Paused {
			break
		}
		b.after(119*time.Second).do(Timer{}, PaymentStored{LeaseAmount: b.l.Owed(), ReceiptSeq: b.l.ReceiptSeq})
	}
	b.want(Releasing, CodePaymentOverdue, FaultCustomer)
}

func TestLease_Prepay_WaitsForFirstTick(t *testing.T) {
	t.Parallel()
	terms := testTerms()
	terms.Prepay = true
	p := running(t, terms)
	p.want(Paused, "", 0)
	r := must[SendReceipt](p).Receipt
	c := newBench(t, CustomerSide, terms).do(Placed{}, DecisionSeen{Accepted: true})
	c.do(ReceiptSeen{Receipt: r, BootMS: c.boot()})
	pay := must[SignPayment](c)
	if pay.LeaseAmount != 10_000 {
		t.Fatalf("signed %d, want one tick", pay.LeaseAmount)
	}
	p.do(PaymentStored{LeaseAmount: pay.LeaseAmount, ReceiptSeq: pay.ReceiptSeq})
	p.want(Running, "", 0)
}

func TestLease_Gap_BillsOneTick(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(time.Second).do(PaymentStored{LeaseAmount: 1_000_000, ReceiptSeq: 1})
	b.after(time.Minute).do(JobSeen{BootMS: b.boot()})
	if b.l.Meter.BillableMS != 11_000 || b.l.Meter.UnobservedMS != 50_000 {
		t.Fatalf("meter %+v", b.l.Meter)
	}
}

func TestLease_DeviceLost_BillsToLastProof(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(3 * time.Second).after(4 * time.Second).do(DeviceLost{Detail: "Xid 79"})
	b.want(Releasing, CodeDeviceLost, FaultProvider)
	if b.l.Owed() != 3000 {
		t.Fatalf("owed %d", b.l.Owed())
	}
	b.do(JobGone{}, DevicesClear{})
	if !must[FreeDevices](b).Quarantine {
		t.Fatal("a lost device was freed")
	}
}

func TestLease_Stop_GraceThenKillThenQuarantine(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(2*time.Second).do(PaymentStored{LeaseAmount: 100_000, ReceiptSeq: 1},
		StopAsked{By: CustomerSide, Grace: 10 * time.Second})
	b.want(Stopping, CodeStopped, FaultCustomer)
	if w := must[WantJob](b); w != (WantJob{Phase: WantGone, Grace: 10 * time.Second}) {
		t.Fatalf("want %+v", w)
	}
	b.run(10 * time.Second)
	if w := must[WantJob](b); w != (WantJob{Phase: WantGone}) || b.l.Owed() != 12_000 {
		t.Fatalf("after the grace: %+v, owed %d", w, b.l.Owed())
	}
	b.run(30 * time.Second)
	if b.l.Owed() != 12_000 {
		t.Fatalf("billed after the kill: %d", b.l.Owed())
	}
	b.after(time.Minute).do(Timer{})
	b.want(Releasing, CodeStopped, FaultCustomer)
	b.after(time.Minute).do(Timer{})
	b.want(Closing, CodeStopped, FaultCustomer)
	if !must[FreeDevices](b).Quarantine {
		t.Fatal("a stuck device was freed")
	}
}

func TestLease_CapAndDuration_IncludeTheGrace(t *testing.T) {
	t.Parallel()
	terms := testTerms()
	terms.Cap = 100_000 // 100 s, of which 30 s are grace
	b := running(t, terms).do(PaymentStored{LeaseAmount: 100_000}).run(70 * time.Second)
	b.want(Stopping, CodeCapReached, FaultCustomer)
	b.run(2 * time.Minute)
	if b.l.Owed() > terms.Cap {
		t.Fatalf("owed %d over the cap", b.l.Owed())
	}
	terms = testTerms()
	terms.MaxDuration = 100 * time.Second
	b = running(t, terms).do(PaymentStored{LeaseAmount: 100_000}).run(70 * time.Second)
	b.want(Stopping, CodeMaxDuration, FaultCustomer)
}

func TestLease_Preparing_StallsByStep(t *testing.T) {
	t.Parallel()
	for phase, code := range map[string]Code{"": CodeImageStalled, "pull": CodeImageStalled, "inputs": CodeInputStalled,
		"start": CodeStartTimeout} {
		b := newBench(t, ProviderSide, testTerms()).do(Accepted{},
			PrepStep{Phase: phase}).after(3 * time.Minute).do(Timer{})
		b.want(Releasing, code, FaultNone)
		if b.l.Owed() != 0 {
			t.Fatal("owes before ready")
		}
	}
}

func TestLease_Restarted_AdoptsOrEnds(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(3 * time.Second)
	other := *b
	b.after(20 * time.Second).do(Restarted{SameBoot: true, BootMS: b.boot()})
	b.want(Running, "", 0)
	if must[WantJob](b).Phase != WantRunning {
		t.Fatal("job is not wanted")
	}
	must[SendStatus](b)
	other.do(Restarted{BootMS: 5})
	other.want(Releasing, CodeRigRestarted, FaultProvider)
	if other.l.Owed() != 3000 {
		t.Fatalf("owed %d", other.l.Owed())
	}
}

func TestLease_EngineSilent_PausesAndReturns(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(2 * time.Second).do(EngineSilent{})
	b.want(Paused, "", 0)
	if p, _ := b.l.Want(); p != WantRunning {
		t.Fatal("an unseen job must not be frozen")
	}
	b.after(20 * time.Second).do(JobSeen{BootMS: b.boot()})
	b.want(Running, "", 0)
	if b.l.Owed() != 2000 || b.l.Meter.PausedMS != 20_000 {
		t.Fatalf("meter %+v", b.l.Meter)
	}
	b.do(EngineSilent{}, JobGone{})
	b.want(Releasing, CodeContainerLost, FaultProvider)
}

func TestLease_Customer_SignsOwnPlusTickOrClaim(t *testing.T) {
	t.Parallel()
	b := bought(t, testTerms()).after(5 * time.Second)
	b.do(b.receipt(1, 5000, Running))
	if p := must[SignPayment](b); p.LeaseAmount != 5000 {
		t.Fatalf("signed %d, want the claim", p.LeaseAmount)
	}
	b.after(5 * time.Second)
	b.do(b.receipt(2, 40_000, Running)) // own is 10 s
	if p := must[SignPayment](b); p.LeaseAmount != 20_000 {
		t.Fatalf("signed %d, want own + one tick", p.LeaseAmount)
	}
	b.do(b.receipt(3, 41_000, Running))
	b.do(b.receipt(4, 42_000, Running))
	b.want(Stopping, CodeMeterDispute, FaultUnknown)
	if s := must[SendStop](b); s.Code != CodeMeterDispute {
		t.Fatalf("stop %+v", s)
	}
	if o := b.l.Outcome(); o.Amount != 10_000 {
		t.Fatalf("a dispute owes %d, want the own meter", o.Amount)
	}
}

func TestLease_Customer_WrongAmountsAreNotSigned(t *testing.T) {
	t.Parallel()
	b := bought(t, testTerms()).after(5 * time.Second)
	r := b.receipt(1, 5000, Running)
	r.Receipt.Amount++
	b.do(r, r)
	if b.l.Signed != 0 || b.l.Claim != 0 {
		t.Fatalf("signed %d", b.l.Signed)
	}
	must[AskStatus](b)
	b.do(r)
	b.want(Stopping, CodeMeterDispute, FaultUnknown)
}

func TestLease_Away_FromTwoPaidMinutesAndCapped(t *testing.T) {
	t.Parallel()
	terms := testTerms()
	terms.Away, terms.AwayMax = 15*time.Minute, 250_000
	b := bought(t, terms)
	var seq uint64
	for b.l.Signed < 120_000 {
		b.after(5 * time.Second)
		seq++
		b.do(b.receipt(seq, seq*5000, Running))
		if b.l.Signed > b.l.Claim {
			t.Fatalf("ahead too early: %d of %d", b.l.Signed, b.l.Claim)
		}
	}
	b.after(5 * time.Second)
	b.do(b.receipt(seq+1, (seq+1)*5000, Running))
	if got := b.l.Signed - b.l.Claim; got != 250_000 {
		t.Fatalf("ahead %d, want away_max", got)
	}
	// Asleep for 4 minutes: the own meter follows the claim inside what was signed.
	b.after(4 * time.Minute).do(Timer{BootMS: b.boot()})
	b.do(b.receipt(seq+2, (seq+1)*5000+240_000, Running))
	if b.l.Meter.BillableMS != (seq+1)*5000+240_000 || b.l.Over != 0 {
		t.Fatalf("own %d, over %d", b.l.Meter.BillableMS, b.l.Over)
	}
}

func TestLease_ProviderUnheard_CountsAtMostThreeTicksAnHour(t *testing.T) {
	t.Parallel()
	b := bought(t, testTerms())
	for range 5 {
		for range 14 { // awake all the time, the provider unheard
			b.after(time.Second).do(Timer{BootMS: b.boot()})
		}
		b.do(Heard{BootMS: b.boot()})
	}
	if b.l.Meter.BillableMS != 30_000 {
		t.Fatalf("own meter %d ms, want 3 ticks", b.l.Meter.BillableMS)
	}
}

func TestLease_ProviderSilent_SettlesLastVoucher(t *testing.T) {
	t.Parallel()
	b := bought(t, testTerms()).after(5 * time.Second)
	b.do(b.receipt(1, 5000, Running), PaymentAcked{LeaseAmount: 5000})
	for range 40 {
		b.after(time.Second).do(Timer{BootMS: b.boot()})
	}
	b.want(Silent, "", 0)
	for b.now.Sub(b.l.Since) < 30*time.Minute {
		b.after(5 * time.Second).do(Timer{BootMS: b.boot()})
	}
	b.want(Closing, CodeProviderSilent, FaultProvider)
	if b.l.Signed != 5000 {
		t.Fatalf("signed %d while silent", b.l.Signed)
	}
}

func TestLease_Customer_NotAsQuoted_OwesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, CustomerSide, testTerms()).do(Placed{}, DecisionSeen{Accepted: true})
	b.do(StatusSeen{Status: Status{State: Running}, WrongDevices: true, BootMS: b.boot()})
	b.want(Stopping, CodeNotAsQuoted, FaultProvider)
	b.after(5 * time.Second)
	b.do(StatusSeen{Status: Status{State: Running}, BootMS: b.boot()})
	if b.l.Meter.BillableMS != 0 {
		t.Fatal("own meter ran")
	}
}

func TestLease_Proposed_LapsesAndStopsLateAccept(t *testing.T) {
	t.Parallel()
	b := newBench(t, CustomerSide, testTerms()).do(Placed{}).after(20 * time.Second).do(Timer{})
	b.want(Lapsed, CodeNeverUsed, FaultNone)
	b.do(DecisionSeen{Accepted: true})
	if s := must[SendStop](b); s.Code != CodeNeverUsed {
		t.Fatalf("stop %+v", s)
	}
	r := newBench(t, CustomerSide, testTerms()).do(Placed{}, DecisionSeen{Code: CodeDevicesTaken})
	r.want(Refused, CodeDevicesTaken, FaultProvider)
}

// TestLease_TableComplete: the legal events of each state, in full; all others are ErrIllegal and change nothing.
func TestLease_TableComplete(t *testing.T) {
	t.Parallel()
	legal := map[string]string{
		"provider 0": "Accepted",
		"provider preparing": "PrepStep JobReady PrepFailed JobSeen JobExited EngineSilent DeviceLost PaymentStored " +
			"HeadroomSeen ChainBlind ChainSeen StopAsked ChainClosing Restarted Timer CapRaised",
		"provider running": "JobSeen JobExited JobGone EngineSilent DeviceLost PaymentStored HeadroomSeen " +
			"ChainBlind ChainSeen StopAsked ChainClosing Restarted Timer CapRaised",
		"provider paused": "JobSeen JobExited JobGone EngineSilent DeviceLost DeviceBusy PaymentStored " +
			"HeadroomSeen ChainBlind ChainSeen StopAsked ChainClosing Restarted Timer CapRaised",
		"provider stopping": "JobSeen JobExited JobGone EngineSilent DeviceLost PaymentStored HeadroomSeen " +
			"ChainBlind ChainSeen StopAsked ChainClosing Restarted Timer",
		"provider releasing": "JobExited JobGone DeviceLost DevicesClear PaymentStored OutputsHashed StopAsked " +
			"ChainClosing Restarted Timer",
		"provider closing": "PaymentStored OutputsHashed OutputsServed StopAsked ChainClosing Restarted " +
			"OutcomeAgreed Timer",
		"provider ended":    "PaymentStored StopAsked ChainClosing Restarted OutcomeAgreed Timer",
		"customer 0":        "Placed",
		"customer proposed": "DecisionSeen StatusSeen Heard StopAsked ChainClosing Restarted Timer",
		"customer refused":  "DecisionSeen StatusSeen Heard StopAsked ChainClosing Restarted Timer",
		"customer lapsed":   "DecisionSeen StatusSeen Heard StopAsked ChainClosing Restarted Timer",
		"customer preparing": "DecisionSeen StatusSeen ReceiptSeen Heard PaymentAcked FundsSeen StopAsked " +
			"ChainClosing Restarted Timer VoucherSeen LeaseUnknown CapAsked CapAnswered",
		"customer closing": "DecisionSeen StatusSeen ReceiptSeen Heard PaymentAcked FundsSeen OutputsVerified " +
			"CloseNow StopAsked ChainClosing Restarted " +
			"OutcomeAgreed Timer VoucherSeen LeaseUnknown CapAnswered",
		"customer ended": "DecisionSeen StatusSeen ReceiptSeen Heard PaymentAcked FundsSeen StopAsked " +
			"ChainClosing Restarted OutcomeAgreed Timer VoucherSeen LeaseUnknown CapAnswered",
	}
	for _, s := range []string{"running", "paused", "stopping", "silent"} {
		legal["customer "+s] = legal["customer preparing"]
	}
	legal["customer stopping"] = legal["customer preparing"][:len(legal["customer preparing"])-len(
		" CapAsked CapAnswered")] + " CapAnswered"
	all := everyEvent()
	if len(all) != int(numKinds) {
		t.Fatalf("%d events, want %d", len(all), numKinds)
	}
	for _, side := range []Side{ProviderSide, CustomerSide} {
		for st := LeaseState(0); st <= Silent; st++ {
			l := inState(t, side, st)
			var got []string
			for _, ev := range all {
				next, eff, err := l.Apply(ev, t0.Add(time.Minute))
				if !errors.Is(err, ErrIllegal) || l.Legal(ev) {
					got = append(got, fmt.Sprintf("%T", ev)[len("market."):])
				}
				if err != nil && (next != l || eff != nil) {
					t.Fatalf("%T in %s of the %s: changed on %v", ev, st, side, err)
				}
				if errors.Is(err, ErrInvariant) {
					t.Fatalf("%T in %s of the %s: %v", ev, st, side, err)
				}
			}
			name := side.String() + " " + st.String()
			if st == 0 {
				name = side.String() + " 0"
			}
			if d := cmp.Diff(legal[name], joinWords(got)); d != "" {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
		}
	}
}

func joinWords(w []string) (s string) {
	for i, x := range w {
		if i > 0 {
			s += " "
		}
		s += x
	}
	return s
}

func everyEvent() []Event {
	evs := []Event{
		Accepted{}, PrepStep{Phase: "pull"}, JobReady{BootMS: 9}, PrepFailed{Code: CodeInternal}, JobSeen{BootMS: 9},
		JobExited{}, JobGone{}, EngineSilent{}, DeviceLost{},
		DeviceBusy{}, DevicesClear{}, PaymentStored{}, HeadroomSeen{}, ChainBlind{}, ChainSeen{}, OutputsHashed{},
		OutputsServed{}, Placed{}, DecisionSeen{}, StatusSeen{},
		ReceiptSeen{}, Heard{}, PaymentAcked{}, FundsSeen{}, OutputsVerified{}, CloseNow{}, StopAsked{},
		ChainClosing{}, Restarted{}, OutcomeAgreed{}, Timer{},
		VoucherSeen{}, LeaseUnknown{}, CapAsked{}, CapAnswered{}, CapRaised{},
	}
	slices.SortFunc(evs, func(a, b Event) int { return int(a.kind()) - int(b.kind()) })
	return evs
}

// inState makes a plausible lease in a state, reachable or not.
func inState(t *testing.T, side Side, st LeaseState) Lease {
	t.Helper()
	l, err := NewLease(LeaseID{2}, side, testTerms())
	if err != nil {
		t.Fatal(err)
	}
	l.State, l.Since, l.Accepted, l.HeardAt, l.Gone = st, t0, t0, t0, true
	if st == Paused {
		l.Cause = CauseUnpaid
	}
	if st >= Running && st <= Ended {
		l.Ready = t0
	}
	if st >= Stopping && st <= Ended {
		l.Code, l.Fault, l.StopAt = CodeStopped, FaultCustomer, t0
	}
	return l
}

func TestLease_JSON_RoundTrips(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(3 * time.Second)
	raw, err := json.Marshal(b.l)
	if err != nil {
		t.Fatal(err)
	}
	var back Lease
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if back != b.l {
		t.Fatal(cmp.Diff(b.l, back))
	}
}

func TestLease_Durable_IgnoresProofsOnly(t *testing.T) {
	t.Parallel()
	b := running(t, testTerms()).run(time.Second)
	was := b.l
	b.run(time.Second)
	if b.l == was || b.l.Durable() != was.Durable() {
		t.Fatal("a proof alone needs a commit")
	}
	b.do(EngineSilent{})
	if b.l.Durable() == was.Durable() {
		t.Fatal("a pause needs no commit")
	}
}

// TestLease_PausedReceiptAgain_AsksOnce: the provider's Status repeats its last Receipt, which must not ask for the
// Status again.
func TestLease_PausedReceiptAgain_AsksOnce(t *testing.T) {
	t.Parallel()
	c := bought(t, testTerms())
	r := c.receipt(1, 9500, Paused)
	c.do(r)
	must[AskStatus](c)
	c.do(r)
	if _, again := emitted[AskStatus](c); again {
		t.Error("it asks for what is known")
	}
}
