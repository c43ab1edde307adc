package market

import (
	"testing"
	"time"
)

// TestLease_AsleepAtTheStart_NoDispute: a customer's node sleeps from the acceptance on, its job begins meanwhile and
// is paused unpaid, and the word that it goes on is lost. What the job worked in the sleep is the customer's own gap:
// its meter follows, whatever wakes the lease first.
func TestLease_AsleepAtTheStart_NoDispute(t *testing.T) {
	t.Parallel()
	for name, timer := range map[string]bool{"a receipt is first": false, "a timer is first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			terms := testTerms()
			terms.Tick = 2 * time.Second
			b := newBench(t, CustomerSide, terms).do(Placed{}, DecisionSeen{Accepted: true}).after(20 * time.Second)
			if timer {
				b.do(Timer{BootMS: b.boot()})
				b.want(Silent, "", 0)
			}
			b.do(b.receipt(5, 1900, Paused))
			for i := range uint64(3) {
				b.after(time.Second).do(b.receipt(7+i, 2900+1000*i, Running))
				if pay := must[SignPayment](b); pay.LeaseAmount != b.l.Claim {
					t.Errorf("of %d claimed %d are signed, the own meter says %d", b.l.Claim, pay.LeaseAmount,
						b.l.Owed())
				}
			}
			b.want(Running, "", 0)
		})
	}
}

// TestLease_ResumeUnheard_MeterFollows: the word that a paused job goes on is lost, again and again. What it worked
// until the next Receipt counts, as with a provider that was unheard: at most three ticks an hour.
func TestLease_ResumeUnheard_MeterFollows(t *testing.T) {
	t.Parallel()
	terms := testTerms()
	terms.Tick = 2 * time.Second
	b := bought(t, terms)
	claim, seq := uint64(0), uint64(0)
	hear := func(worked uint64, st LeaseState) {
		claim, seq = claim+worked, seq+1
		b.after(time.Second).do(b.receipt(seq, claim, st))
	}
	hear(1000, Running)
	for range 6 {
		hear(1000, Paused)
		hear(900, Running)
		if b.l.Meter.BillableMS != claim || b.l.Over != 0 {
			t.Fatalf("claimed %d ms, own meter %d, over %d", claim, b.l.Meter.BillableMS, b.l.Over)
		}
	}
	for range 6 {
		hear(1000, Paused)
		hear(900, Running)
	}
	if behind := claim - b.l.Meter.BillableMS; behind != 12*900-6000 {
		t.Errorf("the own meter is %d ms behind", behind)
	}
}
