package nodetest

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// doneAndKept is an order that has run for a minute, is over, and left its channel open.
func (w *world) doneAndKept(t *testing.T) customer.View {
	t.Helper()
	r := long()
	r.KeepChannel = true
	id := w.place(t, r)
	time.Sleep(2 * time.Minute)
	return w.await(t, id, over)
}

// TestSim_KilledBeforeDevicesAreFree_TheyAre: a lease whose end was stored, and the release of its devices and of its
// share not, gives both back at the next start.
func TestSim_KilledBeforeDevicesAreFree_TheyAre(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		v := w.doneAndKept(t)
		w.freeAgain(t, 1)
		w.stopProv()
		rewrite(t, w.pstore, store.BucketDevices,
			func(row map[string]any) { row["State"], row["Lease"] = 2, v.Lease.ID })
		share := escrow.Share{Paid: v.Lease.Paid, Owed: v.Lease.Claim, Cap: v.Lease.Terms.Cap, Live: true}
		err := w.pstore.Commit(t.Context(), store.Change{Puts: []store.Put{{Bucket: store.BucketShares,
			Key: rows.ShareKey(v.Channel, v.Lease.ID), Value: rows.EncodeShare(share)}}})
		if err != nil {
			t.Fatal(err)
		}
		w.startProvider(t)
		until(t, "the device stays leased", func() bool { return w.prov.View().Devices[0].State == "free" })
		if err := w.cust.CloseChannel(t.Context(), v.Channel); err != nil {
			t.Errorf("the share lives on: %v", err)
		}
		w.back(t, "the money does not come back", 1)
	})
}

// crash is a store whose node can be ended at a commit: before it, or after it and before anything that follows from
// it.
type crash struct {
	mu            sync.Mutex
	before, after []byte // the file as of the last two commits
	armed         bool
	hit, free     chan struct{}
}

func (w *world) crashing(s *store.Store, side string) *crash {
	c := &crash{hit: make(chan struct{}), free: make(chan struct{})}
	file := w.files[side]
	s.OnCommit(func(time.Duration) {
		b, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		c.mu.Lock()
		c.before, c.after = c.after, b
		now := c.armed && c.before != nil
		c.armed = c.armed && !now
		c.mu.Unlock()
		if now { // nobody hears of the commit before the node is down
			close(c.hit)
			<-c.free
		}
	})
	return c
}

func (c *crash) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
}

// TestCrash_Payment: a node that dies at a payment, on either side, before the commit, after it, or after what follows
// from it, goes on at its next start: what was acknowledged is there, and the job is paid to the unit.
func TestCrash_Payment(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"before commit", "after commit", "after effect"} {
		for name, side := range restoreSides {
			t.Run(name+" "+at, func(t *testing.T) {
				t.Parallel()
				simulate(t, setup{work: 50 * time.Second}, func(t *testing.T, w *world) { dies(t, w, side, at) })
			})
		}
	}
}

func dies(t *testing.T, w *world, side restoreSide, at string) {
	t.Helper()
	before := w.chain.Balance(w.payout)
	id := w.place(t, long())
	v := w.await(t, id, running)
	time.Sleep(15 * time.Second)
	db := side.store(w)
	c := w.crashing(*db, side.name)
	time.Sleep(6 * time.Second) // until two commits are seen
	trigger := &w.sw.paying
	if side.name == "c" {
		trigger = &w.sw.heard
	}
	if at == "after effect" {
		paid := w.await(t, id, running).Lease.Paid
		w.await(t, id, func(v customer.View) bool { return v.Lease.Paid > paid })
	} else {
		once := sync.OnceFunc(c.arm)
		trigger.Store(&once)
		<-c.hit
		w.sw.cutOff(true)
		time.AfterFunc(time.Second, func() { close(c.free) })
	}
	side.stop(w, t)
	if err := (*db).Close(); err != nil {
		t.Fatal(err)
	}
	file := map[string][]byte{"before commit": c.before, "after commit": c.after}[at]
	if file != nil {
		if err := os.WriteFile(w.files[side.name], file, 0o600); err != nil {
			t.Fatal(err)
		}
	} else if at != "after effect" {
		t.Fatal("no commit was seen")
	}
	*db = w.openStore(t, side.name)
	trigger.Store(nil)
	acked, err := w.cust.Order(id.String())
	if err != nil {
		t.Fatal(err)
	}
	side.start(w, t)
	<-w.prov.Loaded()
	if have := w.sold(t, v).Paid; side.name == "p" && have < acked.Lease.Paid {
		t.Errorf("%d were acknowledged, %d are known after the restart", acked.Lease.Paid, have)
	}
	w.sw.cutOff(false)
	v = w.await(t, id, over)
	w.exact(t, v, "completed", before)
	if v.Paid < 50*second || v.Paid > 51*second { // a provider that is down may see the end a little later
		t.Errorf("paid %d for 50 seconds", v.Paid)
	}
	w.freeAgain(t, 1)
}
