package nodetest

import (
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
)

// written counts what the commits of a store put, from one call of reset on.
type written struct {
	db      *store.Store
	mu      sync.Mutex
	rows    map[string]string
	commits int
	bytes   int
}

func watchWrites(t *testing.T, db *store.Store) *written {
	w := &written{db: db, rows: map[string]string{}}
	look := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.commits++
		for _, bucket := range []string{store.BucketOrders, store.BucketLeases, store.BucketChannels,
			store.BucketOwnChannels, store.BucketTicks, store.BucketShares, store.BucketVouchers, store.BucketOwnTicks,
			store.BucketOwnShares, store.BucketOwnVouchers, store.BucketDebts, store.BucketEarned} {
			err := db.Scan(bucket, nil, func(k, v []byte) error {
				if name := bucket + string(k); w.rows[name] != string(v) {
					w.rows[name] = string(v)
					w.bytes += len(k) + len(v)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	look()
	db.OnCommit(func(time.Duration) { look() })
	return w
}

func (w *written) reset() (commits, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	commits, bytes = w.commits, w.bytes
	w.commits, w.bytes = 0, 0
	return commits, bytes
}

// TestSim_Payment_WritesLittle: a Payment is one commit on each side, and all rows that both write for it are less than
// 1.5 KiB. The Receipt that it answers was the provider's commit before.
func TestSim_Payment_WritesLittle(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		id := w.place(t, long())
		w.await(t, id, running)
		time.Sleep(32 * time.Second)
		p, c := watchWrites(t, w.pstore), watchWrites(t, w.cstore)
		paid := w.await(t, id, running).Lease.Paid
		w.await(t, id, func(v customer.View) bool { return v.Lease.Paid > paid })
		paid = w.await(t, id, running).Lease.Paid
		time.Sleep(time.Second) // between two payments
		c.reset()
		leaves := sync.OnceFunc(func() { p.reset() })
		w.sw.paying.Store(&leaves)
		w.await(t, id, func(v customer.View) bool { return v.Lease.Paid > paid })
		time.Sleep(time.Second)
		sold, soldBytes := p.reset()
		bought, boughtBytes := c.reset()
		t.Logf("provider: %d commits, %d bytes; customer: %d, %d", sold, soldBytes, bought, boughtBytes)
		if sold != 1 || bought != 1 || soldBytes == 0 || boughtBytes == 0 || soldBytes+boughtBytes > 1536 {
			t.Errorf("the provider made %d commits of %d bytes, the customer %d of %d", sold, soldBytes, bought,
				boughtBytes)
		}
	})
}
