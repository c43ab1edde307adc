package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
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
		rewrite(t, w.pstore, store.BucketChannels, func(row map[string]any) {
			shares := row["Account"].(map[string]any)["leases"].(map[string]any)
			shares[v.Lease.ID.String()].(map[string]any)["live"] = true
		})
		w.startProvider(t)
		until(t, "the device stays leased", func() bool { return w.prov.View().Devices[0].State == "free" })
		if err := w.cust.CloseChannel(t.Context(), v.Channel); err != nil {
			t.Errorf("the share lives on: %v", err)
		}
		w.back(t, "the money does not come back", 1)
	})
}

// TestSim_KilledAfterVoucher_ItCounts: a voucher that was stored when the node died is paid, though its customer does
// not come back to repeat it.
func TestSim_KilledAfterVoucher_ItCounts(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		v := w.await(t, w.place(t, long()), running)
		time.Sleep(time.Minute)
		w.stopCust()
		paid := w.sold(t, v).Paid
		w.stopProv()
		rewrite(t, w.pstore, store.BucketLeases, func(row map[string]any) { row["Lease"].(map[string]any)["Paid"] = 0 })
		w.startProvider(t)
		until(t, "what is stored is not counted", func() bool {
			l := w.prov.Leases()
			return len(l) == 1 && l[0].Lease.Paid >= paid && paid > 0 // one more may have been on its way
		})
	})
}

// TestSim_KilledBeforeADebtIsForgotten_ItIs: the row of a debt that was paid does not refuse its customer for months.
func TestSim_KilledBeforeADebtIsForgotten_ItIs(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		v := w.doneAndKept(t)
		w.stopProv()
		lease := v.Lease.ID
		row := map[string]any{"Sum": 5, "Lease": lease, "Customer": w.ch.ID(), "Payer": w.payer,
			"Until": w.clock.Now().Add(time.Hour)}
		err := w.pstore.Commit(t.Context(),
			store.Change{Puts: []store.Put{{Bucket: store.BucketDebts, Key: lease[:], Value: store.Row(row)}}})
		if err != nil {
			t.Fatal(err)
		}
		w.startProvider(t)
		r := long()
		r.Key = "again"
		if v = w.await(t, w.place(t, r), func(v customer.View) bool {
			return over(v) ||
				in(market.Running)(v)
		}); v.Code != "" || v.Lease == nil {
			t.Errorf("%s %s", v.Code, v.Detail)
		}
	})
}
