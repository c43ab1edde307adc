package nodetest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
)

// death ends a node at one commit of its store: nobody hears of the commit before the node is down.
type death struct {
	mu        sync.Mutex
	at, seen  int    // which commit, counted from the arming; how many there were
	was, is   []byte // the file before that commit, and after it
	hit, free chan struct{}
	let       func() // the commit is answered
}

// dieAt arms a store. Its file is kept as of each commit, until the one that is meant.
func (w *world) dieAt(t *testing.T, s *store.Store, side string, at int) *death {
	t.Helper()
	d := &death{at: at, hit: make(chan struct{}), free: make(chan struct{})}
	d.let = sync.OnceFunc(func() { close(d.free) })
	read := func() []byte {
		b, err := os.ReadFile(w.files[side])
		if err != nil {
			panic(err)
		}
		return b
	}
	d.is = read()
	s.OnCommit(func(time.Duration) {
		d.mu.Lock()
		d.seen++
		now := d.seen == d.at
		if d.seen <= d.at {
			d.was, d.is = d.is, read()
		}
		d.mu.Unlock()
		if now {
			close(d.hit)
			<-d.free
		}
	})
	return d
}

func (d *death) commits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

// crashJob is an order with an output, whose job works for 12 seconds.
func crashJob() customer.Request {
	r := request("crash")
	r.File.Limits.Away = 15 * time.Minute
	return r
}

// crashed runs an order on a world whose side dies at its n-th commit from the placing on: kept says whether the store
// has that commit at the next start. It returns how many commits there were in all, if the node did not die.
func crashed(t *testing.T, side restoreSide, n int, kept bool) (commits int) {
	simulate(t, setup{work: 12 * time.Second}, func(t *testing.T, w *world) {
		payout, wallet := w.chain.Balance(w.payout), w.chain.Balance(w.payer)
		db := side.store(w)
		d := w.dieAt(t, *db, side.name, n)
		defer d.let() // a commit after the order's end is none of its life
		id := customer.OrderIDOf(w.cust.ID(), "crash")
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = w.cust.Place(context.Background(), crashJob()) }) // its answer may never come
		if w.dead(t, id, d) {
			w.sw.cutOff(true)
			w.sw.dead.Store(true)
			time.AfterFunc(time.Second, d.let)
			side.stop(w, t)
			if err := (*db).Close(); err != nil {
				t.Fatal(err)
			}
			file := d.was
			if kept {
				file = d.is
			}
			if err := os.WriteFile(w.files[side.name], file, 0o600); err != nil {
				t.Fatal(err)
			}
			*db = w.openStore(t, side.name)
			w.sw.cutOff(false)
			w.sw.dead.Store(false)
			side.start(w, t)
			<-w.prov.Loaded()
			<-w.cust.Loaded()
			w.place(t, crashJob()) // who was not answered asks again
		}
		wg.Wait()
		v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
		w.exact(t, v, market.CodeCompleted, payout)
		if ms := v.Lease.ClaimMS; ms < 10_500 || ms > 13_500 { // a provider that is down sees neither begin nor end
			t.Errorf("billed %d ms of 12 s of work", ms)
		}
		gone, held := w.spent()
		if less := wallet - w.chain.Balance(w.payer); less != gone+held {
			t.Errorf("the wallet has %d less; gone %d, held %d", less, gone, held)
		}
		if started := w.engine.Started(); started != 1 {
			t.Errorf("the job was started %d times", started)
		}
		until(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
		w.freeAgain(t, 1)
		commits = d.commits()
	})
	return commits
}

// dead waits until the node has come to the commit at which it dies; false: the order was over before.
func (w *world) dead(t *testing.T, id market.OrderID, d *death) bool {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		select {
		case <-d.hit:
			return true
		case <-time.After(100 * time.Millisecond):
		}
		if v, err := w.cust.Order(id.String()); err == nil && over(v) && v.Finished {
			return false
		}
		if time.Now().After(end) {
			t.Fatal("the order does not end")
		}
	}
}

// TestCrash_Order: a node that dies at any commit of an order's life, on either side, before it or after it and before
// anything that follows from it, or after all that followed from the one before, goes on at its next start: the job
// runs once, is paid to the unit, and the money is home. GPUAI_CRASH=all dies at each commit; else a sample does.
func TestCrash_Order(t *testing.T) {
	t.Parallel()
	every := 6
	if os.Getenv("GPUAI_CRASH") == "all" {
		every = 1
	}
	for name, side := range restoreSides {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := crashed(t, side, 1<<30, true)
			if all < 10 {
				t.Fatalf("%d commits", all)
			}
			t.Logf("%d commits", all)
			for n := 1; n <= all; n += every {
				for at, kept := range map[string]bool{"before": false, "after": true} {
					t.Run(fmt.Sprintf("%s_%d", at, n), func(t *testing.T) { t.Parallel(); crashed(t, side, n, kept) })
				}
			}
		})
	}
}
