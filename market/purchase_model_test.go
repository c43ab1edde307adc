package market

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// shop is the world around one Purchase: providers that refuse, lose and finish leases, a ledger that knows what each
// channel holds, and a node that may die before the commit, after the commit, and after the effect.
type shop struct {
	t        *rapid.T
	p        Purchase // as on disk
	now      time.Time
	channels map[ChannelID]*pot
	leases   map[LeaseID]*deal
	ends     int
	deaths   int
	n        byte
}

type pot struct {
	deposit, paid Amount
	home          bool
}

type deal struct {
	channel    ChannelID
	limit      Amount
	signed     Amount
	over, told bool
}

// give is one event and its commit; the node may die before it.
func (s *shop) give(ev PurchaseEvent) {
	if s.dies("before the commit") {
		return
	}
	was := s.p
	next, due, err := s.p.Apply(ev, s.now)
	if errors.Is(err, ErrIllegal) {
		return // late
	}
	if err != nil {
		s.t.Fatalf("%T while %s: %v", ev, s.p.Stage, err)
	}
	b, err := json.Marshal(next)
	var disk Purchase
	if err = errors.Join(err, json.Unmarshal(b, &disk)); err != nil {
		s.t.Fatal(err)
	}
	if !reflect.DeepEqual(due, disk.Due()) {
		s.t.Fatalf("%T: %v is due, from disk %v", ev, due, disk.Due())
	}
	if was.Stage == StageOver && disk.Stage != StageOver {
		s.t.Fatalf("%T brings an order back that was over", ev)
	}
	if disk.Stage == StageOver && was.Stage != StageOver {
		s.ends++
	}
	if disk.Stage != StageOver && disk.Stage != StageInputs && len(due) == 0 {
		s.t.Fatalf("nothing is due while %s", disk.Stage)
	}
	s.p = disk
	s.dies("after the commit")
}

// dies ends the node and starts it again from what is on disk.
func (s *shop) dies(string) bool {
	if s.deaths == 0 || rapid.IntRange(0, 9).Draw(s.t, "lives") > 0 {
		return false
	}
	s.deaths--
	s.give(NodeStarted{})
	return true
}

// act does one due effect; what comes of it is drawn.
func (s *shop) act(e PurchaseEffect, kind bool) {
	bad := func(n int) bool { return !kind && rapid.IntRange(0, n).Draw(s.t, "bad") == 0 }
	switch e := e.(type) {
	case AskQuotes:
		if bad(2) {
			s.give(NoQuote{Round: e.Round, Why: Reason{Code: "quote-refused"}, Again: time.Second,
				Patience: time.Duration(rapid.IntRange(0, 5).Draw(s.t, "patience")) * time.Minute})
			return
		}
		s.n++
		s.give(QuoteChosen{e.Round, NodeID{s.n}, 5})
	case WatchBook:
		s.give(BookMoved{e.Round})
	case MakeChannel:
		if bad(3) {
			s.give(NoChannel{Round: e.Round, Why: Reason{Code: "funds-short"}, Passes: bad(1), Unfit: bad(1)})
			return
		}
		s.n++
		id := ChannelID{s.n}
		s.channels[id] = &pot{deposit: min(e.Limit, 300)}
		s.dies("after the effect")
		s.give(ChannelReady{e.Round, id, s.channels[id].deposit})
	case SignLease:
		if bad(4) || s.channels[e.Channel].home {
			s.give(NoChannel{Round: e.Round, Why: Reason{Code: "channel-unfit"}, Unfit: true})
			return
		}
		s.n++
		s.leases[LeaseID{s.n}] = &deal{channel: e.Channel, limit: min(e.Limit, s.channels[e.Channel].deposit)}
		s.dies("after the effect")
		s.give(LeaseSigned{e.Round, LeaseID{s.n}})
	case StopLease:
		s.leases[e.Lease].told = true
		s.give(StopTold{e.N})
	case FollowLease:
		s.follow(e, kind)
	case BringHome:
		if bad(2) {
			s.give(RefundWaits{e.Channel})
			return
		}
		s.bringHome(e.Channel)
	}
}

// follow lets a lease sign, and end in one of all ways.
func (s *shop) follow(e FollowLease, kind bool) {
	d := s.leases[e.Lease]
	if s.p.Stage != StageLeased {
		s.give(LeaseGone(e))
		return
	}
	d.signed = min(d.limit, d.signed+Amount(rapid.IntRange(0, 200).Draw(s.t, "work")))
	over := LeaseOver{Lease: e.Lease, State: Ended, Code: "completed", Fault: FaultNone, Signed: d.signed,
		Owed: d.signed}
	if !kind {
		switch rapid.IntRange(0, 5).Draw(s.t, "end") {
		case 0:
			return // it runs on
		case 1:
			over.State, over.Code, over.Fault = Closing, "provider-silent", FaultProvider
		case 2:
			over.Code, over.Fault = "device-lost", FaultProvider
		case 3:
			over = LeaseOver{Lease: e.Lease, State: Refused, Code: "busy", Fault: FaultProvider, Passes: true}
			d.signed = 0
		case 4:
			over.Keep = true
		}
	}
	d.over = true
	s.give(over)
}

// bringHome finishes a channel: each lease gets what it has signed. The ledger does it once, and tells it as often as
// it is asked.
func (s *shop) bringHome(id ChannelID) {
	pot := s.channels[id]
	if !pot.home {
		for _, d := range s.leases {
			if d.channel == id {
				pot.paid += d.signed
			}
		}
		pot.home = true
	}
	if pot.paid > pot.deposit {
		s.t.Fatalf("channel %s pays %d of %d", id, pot.paid, pot.deposit)
	}
	s.dies("after the effect")
	for _, of := range append([]Attempt{{Channel: s.p.Channel, Lease: s.p.Lease}}, s.p.Lost...) {
		if of.Channel == id {
			s.give(Settled{Channel: id, Lease: of.Lease, Paid: pot.paid, Returned: pot.deposit - pot.paid})
		}
	}
}

// keeper is the channel's own life: what no order needs comes home.
func (s *shop) keeper() {
	for id, pot := range s.channels {
		if !pot.home && !s.p.Needs(id, NodeID{}) {
			s.bringHome(id)
		}
	}
}

func (s *shop) check() {
	var paid Amount
	for id, pot := range s.channels {
		if pot.home {
			paid += pot.paid
			continue
		}
		for _, d := range s.leases {
			if d.channel == id {
				paid += d.signed
			}
		}
	}
	if paid > s.p.Terms.Budget {
		s.t.Fatalf("%d are signed or paid, the budget is %d", paid, s.p.Terms.Budget)
	}
	if s.ends > 1 || len(s.p.Lost) > s.p.Terms.Retry {
		s.t.Fatalf("%d ends, %d losses of %d", s.ends, len(s.p.Lost), s.p.Terms.Retry)
	}
}

// TestPurchase_Model: whatever providers, ledger and deaths of the node do, an order spends no more than its budget,
// ends exactly once, and leaves no money in a channel.
func TestPurchase_Model(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := &shop{t: rt, now: t0, channels: map[ChannelID]*pot{}, leases: map[LeaseID]*deal{}, deaths: 4}
		terms := PurchaseTerms{Budget: Amount(rapid.IntRange(1, 900).Draw(rt, "budget")),
			Retry: rapid.IntRange(0, 3).Draw(rt, "retry"),
			TTL:   time.Duration(rapid.IntRange(0, 2).Draw(rt, "ttl")) * time.Hour}
		var err error
		if s.p, err = NewPurchase(OrderID{1}, terms, rapid.Bool().Draw(rt, "inputs"), s.now); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			s.now = s.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds")) * time.Second)
			due := s.p.Due()
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				s.give(InputsHere{})
			case 1:
				s.give(OrderTick{Used: s.now})
			case 2:
				if rapid.IntRange(0, 4).Draw(rt, "stop") == 0 {
					s.give(OrderStopped{})
				}
			case 3:
				s.keeper()
			default:
				if len(due) > 0 {
					s.act(due[rapid.IntRange(0, len(due)-1).Draw(rt, "which")], false)
				}
			}
			s.check()
		}
		s.deaths = 0
		s.give(InputsHere{})
		for n := 0; s.p.Stage != StageOver || s.p.Lingers; n++ { // from here on all are kind
			if n > 40 {
				rt.Fatalf("it does not end: %+v", s.p)
			}
			for _, e := range s.p.Due() {
				s.act(e, true)
			}
		}
		s.keeper()
		s.check()
		for id, pot := range s.channels {
			if !pot.home {
				rt.Fatalf("channel %s holds %d for ever", id, pot.deposit)
			}
		}
		if s.ends != 1 {
			rt.Fatalf("%d ends", s.ends)
		}
	})
}
