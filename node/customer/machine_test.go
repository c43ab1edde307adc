package customer

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/store"
)

// heard is a worker that notes what is due, and does it until it is not due any more.
type heard struct {
	mu    sync.Mutex
	doing []market.PurchaseEffect
	ended int
}

func (h *heard) do(ctx context.Context, e market.PurchaseEffect) {
	h.mu.Lock()
	h.doing = append(h.doing, e)
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended++
}

func (h *heard) stands(market.Purchase) {}
func (h *heard) over(context.Context)   {}
func (h *heard) lastUsed() time.Time    { return time.Now() }

func (h *heard) counts() (begun, ended int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.doing), h.ended
}

// bareCustomer has a store, a clock and the context of Serve, and nothing else.
func bareCustomer(t *testing.T) (*Customer, *store.Store) {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	clock, err := lease.ClockOf(func() (time.Duration, error) { return time.Hour, nil }, "virtual")
	if err != nil {
		t.Fatal(err)
	}
	c := New(Config{Spool: t.TempDir()}, db, nil, nil, clock, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	c.base = ctx
	close(c.ready)
	t.Cleanup(func() { cancel(); c.wg.Wait(); _ = db.Close() })
	return c, db
}

// TestMachine_NothingIsDone_BeforeItIsOnDisk: what an event calls due begins once the event is stored, and what it ends
// goes on until then.
func TestMachine_NothingIsDone_BeforeItIsOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := bareCustomer(t)
		p, err := market.NewPurchase(market.OrderID{1}, market.PurchaseTerms{Budget: 1000}, false, c.now())
		if err != nil {
			t.Fatal(err)
		}
		h := &heard{}
		m := &machine{record: record{c: c, row: orderRow{ID: p.ID, Purchase: p}}, work: h}
		if err := m.create(); err != nil {
			t.Fatal(err)
		}
		m.proceed(c.base)
		synctest.Wait()
		if begun, _ := h.counts(); begun != 1 {
			t.Fatalf("%v is done for a new order", h.doing)
		}
		at, free := make(chan struct{}), make(chan struct{})
		db.OnCommit(func(time.Duration) { close(at); <-free })
		var wg sync.WaitGroup
		wg.Go(func() {
			m.happens(c.base, market.QuoteChosen{Round: p.Round, Provider: market.NodeID{2}, Rate: 1}, nil)
		})
		<-at
		synctest.Wait()
		if m.snapshot().Stage != market.StageFunding {
			t.Errorf("in memory the order is at stage %v", m.snapshot().Stage)
		}
		m.proceed(c.base) // for another event, which came meanwhile
		synctest.Wait()
		if begun, ended := h.counts(); begun != 1 || ended != 0 {
			t.Errorf("before the commit %v is done, %d ended", h.doing, ended)
		}
		db.OnCommit(func(time.Duration) {})
		close(free)
		wg.Wait()
		synctest.Wait()
		if begun, ended := h.counts(); begun != 2 || ended != 1 {
			t.Errorf("after the commit %v is done, %d ended", h.doing, ended)
		}
	})
}

// TestRecord_FoundNoRoom_NextStepSaysAll: a version that was not stored keeps the next step of a lease from being its
// tick alone, until a later version is on disk; what an earlier one answers late does not count.
func TestRecord_FoundNoRoom_NextStepSaysAll(t *testing.T) {
	t.Parallel()
	r := &record{}
	for i, step := range []struct {
		v    version
		err  error
		want bool
	}{
		{version{seq: 1}, nil, false}, {version{seq: 3}, store.ErrDiskFull, true}, {version{seq: 2}, nil, true},
		{version{}, nil, true}, {version{seq: 4}, nil, false}, {version{}, store.ErrDiskFull, false},
	} {
		_ = r.ended(step.v, step.err)
		if got := r.behind(); got != step.want {
			t.Errorf("step %d: behind is %v", i, got)
		}
	}
}
