package lease

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// memory is a Store and an Act that note what happened in which order.
type memory struct {
	mu      sync.Mutex
	saved   []market.Lease
	journal []string
	acted   []market.Effect
	fail    error                              // of Commit
	refuse  func(e market.Effect, n int) error // of act, n-th try of this kind
	tries   map[string]int
}

func (m *memory) Commit(_ context.Context, l market.Lease, effects []market.Effect) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.saved = append(m.saved, l)
	for _, e := range effects {
		m.journal = append(m.journal, "commit "+kindOf(e))
	}
	return nil
}

func (m *memory) act(_ context.Context, _ market.Lease, e market.Effect) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := kindOf(e)
	m.tries[k]++
	if m.refuse != nil {
		if err := m.refuse(e, m.tries[k]); err != nil {
			return err
		}
	}
	m.journal = append(m.journal, "act "+k)
	m.acted = append(m.acted, e)
	return nil
}

func (m *memory) count(entry string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.journal {
		if e == entry {
			n++
		}
	}
	return n
}

func testLease(t *testing.T, side market.Side, first market.Event) market.Lease {
	t.Helper()
	l, err := market.NewLease(market.LeaseID{7}, side, market.Terms{
		Rate: 3_600_000, Devices: 1, Tick: 10 * time.Second, Hold: time.Minute, PrepMax: 3 * time.Minute,
		MaxDuration: time.Hour,
		StopGrace:   10 * time.Second, Cap: 3_600_000, AcceptUntil: time.Now().Add(15 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, _, err = l.Apply(first, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs an actor inside a bubble; stop ends it and returns Serve's error.
func start(t *testing.T, l market.Lease, m *memory) (a *Actor, stop func() error) {
	t.Helper()
	m.tries = map[string]int{}
	begin := time.Now()
	clock := func() (time.Time, uint64) { return time.Now(), uint64(time.Since(begin).Milliseconds()) + 1 }
	a, err := New(Config{Lease: l, Clock: clock, SameBoot: true}, m, m.act, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { result <- a.Serve(ctx) })
	synctest.Wait()
	return a, func() error { cancel(); wg.Wait(); return <-result }
}

func TestActor_Start_RepeatsStandingEffectsAfterCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		_, stop := start(t, testLease(t, market.ProviderSide, market.Accepted{}), m)
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		for _, k := range []string{"market.WantJob", "market.SendStatus"} {
			c, a := slices.Index(m.journal, "commit "+k), slices.Index(m.journal, "act "+k)
			if c < 0 || a < c {
				t.Fatalf("%s: committed at %d, done at %d: %v", k, c, a, m.journal)
			}
		}
	})
}

func TestActor_Proofs_NeedNoCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, stop := start(t, testLease(t, market.ProviderSide, market.Accepted{}), m)
		if err := a.Do(t.Context(), market.JobReady{BootMS: 1}); err != nil {
			t.Fatal(err)
		}
		before := len(m.saved)
		for i := range uint64(4) {
			if err := a.Do(t.Context(), market.JobSeen{BootMS: 1000 * (i + 1)}); err != nil {
				t.Fatal(err)
			}
		}
		if len(m.saved) != before {
			t.Fatalf("%d commits for proofs", len(m.saved)-before)
		}
		if got := a.Lease().Meter.BillableMS; got != 3999 {
			t.Fatalf("metered %d ms", got)
		}
		_ = stop()
	})
}

func TestActor_IllegalEvent_ChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, stop := start(t, testLease(t, market.ProviderSide, market.Accepted{}), m)
		was, commits := a.Lease(), len(m.saved)
		if err := a.Do(t.Context(), market.DevicesClear{}); !errors.Is(err, market.ErrIllegal) {
			t.Fatalf("got %v", err)
		}
		if a.Lease() != was || len(m.saved) != commits {
			t.Fatal("an illegal event changed the lease")
		}
		_ = stop()
	})
}

func TestActor_CommitFails_StopsBeforeActing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, stop := start(t, testLease(t, market.ProviderSide, market.Accepted{}), m)
		broken := errors.New("disk is gone")
		m.mu.Lock()
		m.fail = broken
		m.mu.Unlock()
		receipts := m.count("act market.SendReceipt")
		if err := a.Do(t.Context(), market.JobReady{BootMS: 1}); !errors.Is(err, broken) {
			t.Fatalf("got %v", err)
		}
		<-a.Done()
		if err := stop(); !errors.Is(err, broken) {
			t.Fatalf("Serve returned %v", err)
		}
		if m.count("act market.SendReceipt") != receipts || a.Lease().State != market.Preparing {
			t.Fatal("acted without a commit")
		}
		if err := a.Send(t.Context(), market.JobGone{}); market.CodeOf(err) != market.CodeBusy {
			t.Fatalf("send to an ended actor: %v", err)
		}
	})
}

func TestActor_Effect_IsRetriedUntilDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{refuse: func(e market.Effect, n int) error {
			if _, ok := e.(market.SendStatus); ok && n < 4 {
				return errors.New("peer is away")
			}
			return nil
		}}
		_, stop := start(t, testLease(t, market.ProviderSide, market.Accepted{}), m)
		if m.count("act market.WantJob") != 1 || m.count("act market.SendStatus") != 0 {
			t.Fatalf("one slow effect held up another: %v", m.journal)
		}
		time.Sleep(690 * time.Millisecond) // virtual: 100 + 200 + 400 ms of waiting are not over
		synctest.Wait()
		if m.count("act market.SendStatus") != 0 {
			t.Fatal("no back-off")
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if m.count("act market.SendStatus") != 1 {
			t.Fatalf("not retried: %v", m.tries)
		}
		_ = stop()
	})
}

func TestActor_Refusal_IsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{refuse: func(e market.Effect, _ int) error {
			if _, ok := e.(market.SendStatus); ok {
				return market.Refuse(market.CodePolicy, market.KindDenied, "")
			}
			return nil
		}}
		_, stop := start(t, testLease(t, market.ProviderSide, market.Accepted{}), m)
		time.Sleep(time.Minute)
		synctest.Wait()
		if m.tries["market.SendStatus"] != 1 {
			t.Fatalf("%d tries", m.tries["market.SendStatus"])
		}
		_ = stop()
	})
}

func TestActor_Timer_EndsAStalledPreparation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, stop := start(t, testLease(t, market.ProviderSide, market.Accepted{}), m)
		time.Sleep(3*time.Minute - time.Second)
		synctest.Wait()
		if s := a.Lease().State; s != market.Preparing {
			t.Fatalf("too early: %s", s)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if l := a.Lease(); l.State != market.Releasing || l.Code != market.CodeImageStalled {
			t.Fatalf("%s %q", l.State, l.Code)
		}
		_ = stop()
	})
}

func TestActor_Customer_RepeatsProposalThenLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, stop := start(t, testLease(t, market.CustomerSide, market.Placed{}), m)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := m.count("act market.SendLease"); n < 8 || n > 12 {
			t.Fatalf("sent %d times in 10 s", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if l := a.Lease(); l.State != market.Lapsed {
			t.Fatalf("state %s", l.State)
		}
		_ = stop()
	})
}

func TestActor_FullInbox_IsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, err := New(Config{Lease: testLease(t, market.ProviderSide, market.Accepted{}),
			Clock: func() (time.Time, uint64) { return time.Now(), 1 }}, m, m.act,
			slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for range inboxSize { // Serve does not run
			if err := a.Send(t.Context(), market.JobSeen{}); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		if err := a.Send(t.Context(), market.JobSeen{}); market.CodeOf(err) != market.CodeBusy ||
			time.Since(begin) != inboxWait {
			t.Fatalf("got %v after %s", err, time.Since(begin))
		}
	})
}

func TestConfig_Validate_NamesAllFaults(t *testing.T) {
	t.Parallel()
	_, err := New(Config{}, &memory{}, (&memory{}).act, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("an empty config was taken")
	}
}

func TestClock_GoesForward(t *testing.T) {
	t.Parallel()
	c, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	t1, b1 := c.Read()
	t2, b2 := c.Read()
	if t2.Before(t1) || b2 < b1 || b1 == 0 || c.BootID() == "" {
		t.Fatalf("%v %d then %v %d, boot %q", t1, b1, t2, b2, c.BootID())
	}
	if d := time.Since(t1); d < -time.Second || d > time.Minute {
		t.Fatalf("node clock is %s off", d)
	}
}

// TestActor_DiskFull_WaitsAndGoesOn: a lease whose step finds no room on the disk does nothing until there is some, and
// loses nothing then.
func TestActor_DiskFull_WaitsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, stop := start(t, testLease(t, market.ProviderSide, market.Accepted{}), m)
		synctest.Wait()
		room := func(err error) { m.mu.Lock(); m.fail = err; m.mu.Unlock() }
		room(store.ErrDiskFull)
		answered := make(chan error, 1)
		var wg sync.WaitGroup
		wg.Go(func() { answered <- a.Do(t.Context(), market.JobReady{BootMS: 5}) })
		time.Sleep(10 * time.Second)
		if a.Lease().State != market.Preparing || len(answered) > 0 {
			t.Errorf("without room the lease is %s", a.Lease().State)
		}
		room(nil)
		if err := <-answered; err != nil || a.Lease().State != market.Running {
			t.Errorf("with room the lease is %s: %v", a.Lease().State, err)
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("the actor ended with %v", err)
		}
	})
}
