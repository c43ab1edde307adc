package escrow

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/market"
)

var p0 = time.Unix(1_800_000_000, 0)

// payerCells is what the payer does in each phase, by situation. A situation without a cell fails the test.
var payerCells = map[string]struct {
	make func(*Account, *PayerNeeds)
	want map[Phase]PayerAct
}{
	"a lease lives": {
		func(a *Account, _ *PayerNeeds) { a.Leases[market.LeaseID{1}] = Share{Cap: 100, Live: true} },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"a lease runs out of funds": {
		func(a *Account, n *PayerNeeds) {
			a.Leases[market.LeaseID{1}] = Share{Cap: 5000, Paid: 900, Live: true}
			n.Hourly = 1000
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerTopUp, PhaseOpen: PayerTopUp,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"a top-up has just failed": {
		func(a *Account, n *PayerNeeds) {
			a.Leases[market.LeaseID{1}] = Share{Cap: 5000, Paid: 900, Live: true}
			n.Hourly, n.FailedAt = 1000, p0.Add(-time.Second)
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"an order wants it": {
		func(_ *Account, n *PayerNeeds) { n.Wanted = true },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"its user wants it closed, an order kept": {
		func(_ *Account, n *PayerNeeds) { n.Wanted, n.Close = true, p0 },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerAskRelease, PhaseOpen: PayerAskRelease,
			PhaseClosing: PayerWait, PhaseReleasing: PayerAskRelease, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"its user wanted it closed before a restart": {
		func(_ *Account, n *PayerNeeds) {
			n.Wanted, n.Close, n.Asked, n.AskedAt, n.FreeSince = true, p0.Add(-releaseWithin), 1, p0, p0
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerRequestClose, PhaseOpen: PayerRequestClose,
			PhaseClosing: PayerWait, PhaseReleasing: PayerRequestClose, PhaseSealed: PayerWait,
			PhaseGone: PayerWait, PhaseLost: PayerWait},
	},
	"its user wants it closed under a lease": {
		func(a *Account, n *PayerNeeds) {
			a.Leases[market.LeaseID{1}] = Share{Cap: 100, Live: true}
			n.Close = p0
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"its user wants it closed, its release is here": {
		func(_ *Account, n *PayerNeeds) {
			n.Wanted, n.Close, n.Release = true, p0, &SignedRelease{}
			n.Release.Expires = p0.Add(time.Minute).Unix()
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerFinish, PhaseOpen: PayerFinish,
			PhaseClosing: PayerFinish, PhaseReleasing: PayerFinish, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"nobody does": {
		func(_ *Account, n *PayerNeeds) { n.FreeSince = p0 },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerAskRelease, PhaseOpen: PayerAskRelease,
			PhaseClosing: PayerAskRelease, PhaseReleasing: PayerAskRelease, PhaseSealed: PayerWait,
			PhaseGone: PayerWait, PhaseLost: PayerWait},
	},
	"its release was just asked for": {
		func(_ *Account, n *PayerNeeds) { n.FreeSince, n.Asked, n.AskedAt = p0, 1, p0 },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"its payee is silent": {
		func(_ *Account, n *PayerNeeds) { n.FreeSince, n.Asked, n.AskedAt, n.Silent = p0, 1, p0, true },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerRequestClose, PhaseOpen: PayerRequestClose,
			PhaseClosing: PayerWait, PhaseReleasing: PayerRequestClose, PhaseSealed: PayerWait,
			PhaseGone: PayerWait, PhaseLost: PayerWait},
	},
	"no release came": {
		func(_ *Account, n *PayerNeeds) { n.FreeSince, n.Asked, n.AskedAt = p0.Add(-releaseWithin), 9, p0 },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerRequestClose, PhaseOpen: PayerRequestClose,
			PhaseClosing: PayerWait, PhaseReleasing: PayerRequestClose, PhaseSealed: PayerWait,
			PhaseGone: PayerWait, PhaseLost: PayerWait},
	},
	"its release is here": {
		func(_ *Account, n *PayerNeeds) {
			n.FreeSince = p0
			n.Release = &SignedRelease{}
			n.Release.Expires = p0.Add(time.Minute).Unix()
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerFinish, PhaseOpen: PayerFinish,
			PhaseClosing: PayerFinish, PhaseReleasing: PayerFinish, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"its release is about to expire": {
		func(_ *Account, n *PayerNeeds) {
			n.FreeSince = p0
			n.Release = &SignedRelease{}
			n.Release.Expires = p0.Add(5 * time.Second).Unix()
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerAskRelease, PhaseOpen: PayerAskRelease,
			PhaseClosing: PayerAskRelease, PhaseReleasing: PayerAskRelease, PhaseSealed: PayerWait,
			PhaseGone: PayerWait, PhaseLost: PayerWait},
	},
	"a finish has just failed": {
		func(_ *Account, n *PayerNeeds) {
			n.FreeSince, n.FailedAt = p0, p0
			n.Release = &SignedRelease{}
			n.Release.Expires = p0.Add(time.Minute).Unix()
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"its close delay is over": {
		func(a *Account, n *PayerNeeds) {
			a.Leases[market.LeaseID{1}] = Share{Cap: 100, Live: true} // it may still live
			n.Clock = p0.Add(time.Hour)
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerFinish, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"the window is over": {
		func(a *Account, n *PayerNeeds) { n.Wanted, n.Slot = true, ReclaimAfter+1 },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerReclaim, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"the window is over, the payee unpaid": {
		func(a *Account, n *PayerNeeds) { a.Settled, n.Wanted, n.Slot = 5, true, ReclaimAfter+1 },
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerPay, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"the payee could just not be paid": {
		func(a *Account, n *PayerNeeds) {
			a.Settled, n.Wanted, n.Slot, n.PaidAt = 5, true, ReclaimAfter+1, p0
		},
		map[Phase]PayerAct{PhaseOpening: PayerWait, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerWait, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
	"it never came to be": {
		func(a *Account, n *PayerNeeds) { n.Wanted, n.Absent, n.Slot = true, true, ReclaimAfter+1 },
		map[Phase]PayerAct{PhaseOpening: PayerForget, PhaseSeen: PayerWait, PhaseOpen: PayerWait,
			PhaseClosing: PayerWait, PhaseReleasing: PayerWait, PhaseSealed: PayerReclaim, PhaseGone: PayerWait,
			PhaseLost: PayerWait},
	},
}

func TestDecidePayer_Table(t *testing.T) {
	t.Parallel()
	for name, c := range payerCells {
		for phase := PhaseOpening; phase <= PhaseLost; phase++ {
			want, ok := c.want[phase]
			if !ok {
				t.Errorf("%s: no cell for %s", name, phase)
				continue
			}
			a := Account{Phase: phase, Deposit: 1000, Seen: 1000, Deadline: p0.Add(time.Hour).Unix(),
				Leases: map[market.LeaseID]Share{}}
			n := PayerNeeds{Clock: p0, Slot: 1}
			c.make(&a, &n)
			d := DecidePayer(&a, n, p0)
			if d.Act != want || d.Why == "" {
				t.Errorf("%s while %s: %s (%s), want %s", name, phase, d.Act, d.Why, want)
			}
			if d.Act == PayerWait && !d.Until.IsZero() && !d.Until.After(p0) {
				t.Errorf("%s while %s: it waits until %s, which is over", name, phase, d.Until)
			}
		}
	}
}

// chan1 is a Channel on a ledger that takes each intent once, with a payee that may be silent.
type chan1 struct {
	cs     ChannelState
	silent bool
	acts   int
}

// do performs a decision as the node does, and returns whether it changed anything.
func (c *chan1) do(rt *rapid.T, d PayerDecision, a *Account, n *PayerNeeds, now time.Time) {
	c.acts++
	fails := c.acts < 20 && rapid.IntRange(0, 9).Draw(rt, "fails") == 0
	if fails && d.Act != PayerWait && d.Act != PayerAskRelease {
		n.FailedAt = now
		return
	}
	switch d.Act {
	case PayerTopUp:
		if d.Total <= c.cs.Deposit {
			rt.Fatalf("a top-up to %d of %d", d.Total, c.cs.Deposit)
		}
		c.cs.Deposit = d.Total
	case PayerAskRelease:
		n.Asked, n.AskedAt = n.Asked+1, now
		if !c.silent {
			n.Release = &SignedRelease{}
			n.Release.Final, n.Release.Expires = a.OwedSum(), n.Clock.Add(time.Minute).Unix()
		}
	case PayerFinish:
		if a.Live() > 0 && c.cs.Status == StatusOpen {
			rt.Fatal("the channel of a live lease is finished")
		}
		if d.Release == nil && (c.cs.Status != StatusClosing || n.Clock.Unix() < c.cs.Deadline) {
			rt.Fatalf("a finish without consent at %d, deadline %d", n.Clock.Unix(), c.cs.Deadline)
		}
		if d.Release != nil {
			c.cs.Settled = d.Release.Final
		} else {
			c.cs.Settled = a.PaidSum()
		}
		c.cs.Status, c.cs.Refunded = StatusSealed, c.cs.Deposit-c.cs.Settled
	case PayerRequestClose:
		if a.Live() > 0 {
			rt.Fatal("the money of a live lease is asked back")
		}
		c.cs.Status, c.cs.Deadline = StatusClosing, n.Clock.Add(time.Hour).Unix()
	case PayerPay:
		n.PaidAt = now
		c.cs.Paid = c.cs.Settled
	case PayerReclaim:
		if c.cs.Paid < c.cs.Settled {
			rt.Fatal("reclaimed before the payee is paid")
		}
		c.cs.Status = StatusGone
	}
}

// TestDecidePayer_Model: whatever happens to it, a channel comes home once nobody wants it, or its user wants it closed
// and orders do not, is never finished or asked back under a lease, and there is no look without progress for ever.
func TestDecidePayer_Model(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := &chan1{cs: ChannelState{Status: StatusOpen, Deposit: market.Amount(rapid.IntRange(1, 2000).Draw(rt, "d"))}}
		a := NewAccount(c.cs, Confirmed)
		now := p0
		n := PayerNeeds{Hourly: 1000, Wanted: true}
		id := market.LeaseID{1}
		steps := rapid.IntRange(0, 30).Draw(rt, "steps")
		byHand := rapid.Bool().Draw(rt, "by hand") // its orders want it for ever
		for i := 0; c.cs.Status != StatusGone; i++ {
			if i > steps+400 {
				rt.Fatalf("it stays %s: %+v", a.Phase, DecidePayer(&a, n, now))
			}
			n.Clock, n.Slot = now, uint64(now.Sub(p0)/(400*time.Millisecond))
			a = a.Observe(c.cs, Finalised, now.Unix())
			d := DecidePayer(&a, n, now)
			c.do(rt, d, &a, &n, now)
			switch {
			case d.Act == PayerWait && d.Until.IsZero():
				now = now.Add(time.Minute)
			case d.Act == PayerWait:
				now = d.Until
			default:
				now = now.Add(time.Second)
			}
			if i >= steps { // the order is over
				a = a.EndLease(id, a.Leases[id].Paid)
				switch {
				case byHand && n.Close.IsZero():
					n.Close = now
				case !byHand && n.Wanted:
					n.Wanted, n.FreeSince = false, now
				}
				continue
			}
			switch rapid.IntRange(0, 6).Draw(rt, "what") {
			case 6:
				if a.Live() == 0 && n.Close.IsZero() {
					n.Close = now
				}
			case 0:
				if next, err := a.AddLease(id, 1500, 0); err == nil && n.Close.IsZero() {
					a = next
				}
			case 1:
				if s := a.Leases[id]; s.Live {
					s.Paid = min(s.Paid+100, s.Cap, a.Seen)
					a.Leases[id] = s
				}
			case 2:
				c.silent = !c.silent
			case 3:
				// a restart forgets the rest
				n = PayerNeeds{Hourly: n.Hourly, Wanted: n.Wanted, FreeSince: n.FreeSince, Close: n.Close}
			case 4:
				a = a.EndLease(id, a.Leases[id].Paid)
			}
		}
		if c.cs.Paid+c.cs.Refunded != c.cs.Deposit {
			rt.Fatalf("paid %d, refunded %d of %d", c.cs.Paid, c.cs.Refunded, c.cs.Deposit)
		}
	})
}
