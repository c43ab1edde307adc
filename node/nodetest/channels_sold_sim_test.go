package nodetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/node/till"
)

func rowsOf(t *testing.T, s *store.Store, bucket string) int {
	t.Helper()
	list, err := s.Page(bucket, nil, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// soldChannels are the provider's channels that have left memory.
func (w *world) soldChannels(t *testing.T) map[market.ChannelID]escrow.Account {
	t.Helper()
	list := map[market.ChannelID]escrow.Account{}
	err := till.New[struct{}](w.pstore, till.Selling).EachPast(func(b *till.Book[struct{}]) {
		list[b.ID()], _ = b.See()
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestSoldChannel_Gone_LeavesMemory: of a customer's channel that is gone the provider keeps a row that no start and no
// look reads; what was earned is the same, and a late payment and a late request for a Release are refused. A store of
// before, whose channels do not say that they were sealed, goes on the same way.
func TestSoldChannel_Gone_LeavesMemory(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 10 * time.Second}, func(t *testing.T, w *world) {
		var orders []customer.View
		for _, key := range []string{"first", "second"} {
			orders = append(orders,
				w.await(t, w.place(t, request(key)), func(v customer.View) bool { return over(v) && v.Finished }))
		}
		w.left(t)
		earned, days := w.prov.Earned(), w.prov.Days(time.Time{})
		if earned.Settled != orders[0].Paid+orders[1].Paid || earned.Claimable+earned.Now != 0 || earned.Settled == 0 {
			t.Fatalf("earned %+v", earned)
		}
		leaves := func(when string) {
			t.Helper()
			until(t, when+": a channel that is gone stays in memory", func() bool {
				return rowsOf(t, w.pstore, store.BucketGone) == 2
			})
			for _, bucket := range []string{store.BucketChannels, store.BucketShares, store.BucketVouchers} {
				if n := rowsOf(t, w.pstore, bucket); n != 0 {
					t.Errorf("%s: %s has %d rows", when, bucket, n)
				}
			}
			if e, d := w.prov.Earned(), w.prov.Days(time.Time{}); e != earned || !reflect.DeepEqual(d, days) {
				t.Errorf("%s: earned %+v %+v, was %+v %+v", when, e, d, earned, days)
			}
			gone := w.soldChannels(t)
			for _, v := range orders {
				w.refusesLate(t, v, gone[v.Channel])
			}
		}
		leaves("at once")
		restart := func(change func()) {
			w.stopProv()
			change()
			w.startProvider(t)
			until(t, "it does not start", func() bool { return w.prov.View().Selling })
		}
		restart(func() {})
		leaves("after a restart")
		restart(func() { w.unleave(t) })
		leaves("on a store of before")
		r := request("third")
		last := w.await(t, w.place(t, r), over)
		if last.Code != market.CodeCompleted {
			t.Errorf("an order after it: %s %s", last.Code, last.Detail)
		}
	})
}

// refusesLate fails unless the provider refuses what a customer may still send for a channel that is gone.
func (w *world) refusesLate(t *testing.T, v customer.View, a escrow.Account) {
	t.Helper()
	ctx := context.Background()
	if a.Phase != escrow.PhaseGone || a.Newest.Amount == 0 || a.Settled != v.Paid || a.SentToPay != v.Paid {
		t.Errorf("the channel of %s is kept as %+v", v.ID, a)
	}
	pay := market.Payment{Lease: v.Lease.ID, LeaseAmount: v.Lease.Paid, Voucher: a.Newest.Encode(), Sig: a.Newest.Sig}
	if _, err := w.prov.Payment(ctx, w.ch.ID(), pay); market.CodeOf(err) != market.CodeVoucherUnknown {
		t.Errorf("a late payment: %v", err)
	}
	if _, err := w.prov.ReleaseRequest(ctx, w.ch.ID(), v.Channel); market.CodeOf(err) != market.CodeChannelUnfit {
		t.Errorf("a late request for a Release: %v", err)
	}
	if _, err := w.prov.ReleaseRequest(ctx, w.ph.ID(), v.Channel); market.CodeOf(err) != market.CodeChannelUnknown {
		t.Errorf("a stranger's request for a Release: %v", err)
	}
	if s, err := w.prov.Status(ctx, w.ch.ID(), v.Lease.ID); err != nil || s.Voucher != a.Newest.Encode() {
		t.Errorf("status %+v, %v", s, err)
	}
}

// unleave brings the provider's channels back to where a version kept them that let none leave.
func (w *world) unleave(t *testing.T) {
	t.Helper()
	rewrite(t, w.pstore, store.BucketGone, func(row map[string]any) { delete(row["own"].(map[string]any), "sealed") })
	var c store.Change
	err := w.pstore.Scan(store.BucketGone, nil, func(k, v []byte) error {
		key, value := append([]byte{}, k...), append([]byte{}, v...)
		c.Puts = append(c.Puts, store.Put{Bucket: store.BucketChannels, Key: key, Value: value})
		c.Deletes = append(c.Deletes, store.Ref{Bucket: store.BucketGone, Key: key})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, a := range w.soldChannels(t) {
		c.Puts = append(c.Puts, store.Put{Bucket: store.BucketVouchers, Key: rows.VoucherKey(id, a.Newest.Amount),
			Value: rows.EncodeVoucher(a.Newest)})
	}
	if err := w.pstore.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}
