package reply

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/streams"
)

// sent is a network that notes who was replied to, when.
type sent struct {
	mu    sync.Mutex
	to    []market.NodeID
	at    []time.Time
	known []offers.HeldWant
	rigs  int
	err   error
}

func (s *sent) Reply(_ context.Context, to market.NodeID, _ []string, _ market.DocID, _ []byte,
	_ streams.Quoter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to, s.at = append(s.to, to), append(s.at, time.Now())
	return s.err
}

func (s *sent) Wants() []offers.HeldWant { return s.known }
func (s *sent) Sellers(string) int       { return s.rigs }

func (s *sent) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.to)
}

func own(free uint64) market.Offer {
	return market.Offer{Provider: market.NodeID{1}, Mints: []market.Address{{}}, Lifetime: time.Hour,
		Fields: market.Fields{market.FieldMaxTime: 3600}, Groups: []market.DeviceGroup{{
			Devices: []market.DeviceID{{1}}, Free: free, Class: "a100", Rates: []market.Rate{2000}}}}
}

func bid(customer byte, ip string) market.Want {
	return market.Want{Customer: market.NodeID{customer}, Seq: uint64(time.Now().UnixMilli()),
		Lifetime: 10 * time.Minute,
		Classes:  []string{"a100"}, Devices: 1, MaxRate: 2000, MaxDuration: time.Hour,
		Reach: []string{"/ip4/" + ip + "/udp/4801/quic-v1"}}
}

// bench runs f with a replier that serves.
func bench(t *testing.T, f func(r *Replier, s *sent)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &sent{}
		r := New(market.NodeID{1}, false, s, nil, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.Serve(ctx) })
		f(r, s)
		cancel()
		wg.Wait()
	})
}

// TestWant_IsAnsweredOnce_IfItCanBeServed: the rate, the time, the devices and an address decide; a rig that gets free
// answers what it has heard before.
func TestWant_IsAnsweredOnce_IfItCanBeServed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*market.Want)
		want   int
	}{
		"fits":       {func(*market.Want) {}, 1},
		"too cheap":  {func(w *market.Want) { w.MaxRate = 1999 }, 0},
		"too long":   {func(w *market.Want) { w.MaxDuration = 2 * time.Hour }, 0},
		"too many":   {func(w *market.Want) { w.Devices = 2 }, 0},
		"withdrawn":  {func(w *market.Want) { w.Devices = 0 }, 0},
		"no address": {func(w *market.Want) { w.Reach = nil }, 0},
		"our own":    {func(w *market.Want) { w.Customer = market.NodeID{1} }, 0},
	} {
		bench(t, func(r *Replier, s *sent) {
			w := bid(2, "203.0.113.7")
			c.change(&w)
			r.Offer(own(1), []byte("offer"))
			for range 5 {
				r.Want(w, market.DocID{1})
				time.Sleep(30 * time.Second)
			}
			if n := s.count(); n != c.want {
				t.Errorf("%s: %d replies", name, n)
			}
		})
	}
	bench(t, func(r *Replier, s *sent) {
		w := bid(2, "203.0.113.7")
		s.known = []offers.HeldWant{{Want: w, ID: market.DocID{1}}}
		r.Offer(own(0), nil)
		r.Want(w, market.DocID{1})
		time.Sleep(time.Minute)
		if n := s.count(); n != 0 {
			t.Errorf("a rented rig replied %d times", n)
		}
		r.Offer(own(1), nil)
		time.Sleep(time.Minute)
		if n := s.count(); n != 1 {
			t.Errorf("free again, it replied %d times", n)
		}
	})
}

// TestWant_RepliesAreSpread: a thousand rigs do not answer at once, and one rig answers a customer every 10 s.
func TestWant_RepliesAreSpread(t *testing.T) {
	t.Parallel()
	var delays []time.Duration
	for range 30 {
		bench(t, func(r *Replier, s *sent) {
			s.rigs = 1000
			r.Offer(own(1), nil)
			began := time.Now()
			r.Want(bid(2, "203.0.113.7"), market.DocID{1})
			time.Sleep(time.Minute)
			if s.count() != 1 {
				t.Fatalf("%d replies", s.count())
			}
			delays = append(delays, s.at[0].Sub(began))
		})
	}
	early := 0
	for _, d := range delays {
		if d > spreadMost+spreadLeast {
			t.Errorf("a reply after %s", d)
		}
		if d < 5*time.Second {
			early++
		}
	}
	if early > 20 { // a sixth of them is meant to be
		t.Errorf("%d of 30 rigs answer within 5 s", early)
	}
	bench(t, func(r *Replier, s *sent) {
		r.Offer(own(1), nil)
		for slot := range uint8(market.WantSlots) {
			w := bid(2, "203.0.113.7")
			w.Slot = slot
			r.Want(w, market.DocID{slot + 1})
		}
		time.Sleep(streams.ReplyEvery - time.Second)
		if n := s.count(); n != 1 {
			t.Errorf("%d replies at once to the Wants of one customer", n)
		}
		time.Sleep(market.WantSlots * streams.ReplyEvery)
		if n := s.count(); n != market.WantSlots {
			t.Errorf("%d replies in all", n)
		}
	})
}

// TestWant_CannotAimRigsAtAVictim: an address at which nobody answers is dialled three times an hour, whatever the
// number of keys that name it; others are not concerned.
func TestWant_CannotAimRigsAtAVictim(t *testing.T) {
	t.Parallel()
	bench(t, func(r *Replier, s *sent) {
		s.err = errors.New("no answer")
		r.Offer(own(1), nil)
		for i := range byte(100) {
			r.Want(bid(2+i, "203.0.113.7"), market.DocID{i + 1})
			time.Sleep(time.Second)
		}
		if n := s.count(); n != maxFails {
			t.Errorf("the victim was dialled %d times", n)
		}
		r.Want(bid(200, "203.0.113.8"), market.DocID{200})
		time.Sleep(time.Second)
		if n := s.count(); n != maxFails+1 {
			t.Errorf("an honest customer was not dialled: %d", n)
		}
		time.Sleep(failFor)
		r.Want(bid(201, "203.0.113.7"), market.DocID{201})
		time.Sleep(time.Second)
		if n := s.count(); n != maxFails+2 {
			t.Errorf("an hour later it is still avoided: %d", n)
		}
	})
}

// TestWant_Refused_IsTriedAgainWhereItPasses: a busy customer is asked thrice at most, one that waits no longer never.
func TestWant_Refused_IsTriedAgainWhereItPasses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"busy": {market.Refuse(market.CodeBusy, market.KindUnavailable, ""), tries},
		"over": {market.Refuse(market.CodeWantOver, market.KindNotFound, ""), 1},
	} {
		bench(t, func(r *Replier, s *sent) {
			s.err = c.err
			r.Offer(own(1), nil)
			r.Want(bid(2, "203.0.113.7"), market.DocID{1})
			time.Sleep(5 * time.Minute)
			if n := s.count(); n != c.want {
				t.Errorf("%s: %d replies", name, n)
			}
		})
	}
}
