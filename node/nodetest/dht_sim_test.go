package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/customer"
)

// TestSim_NoGossip_OrderFindsItsRig: a customer who hears no Offer at all looks the class up in the DHT, asks the rig
// for its Offer and has its job run there.
func TestSim_NoGossip_OrderFindsItsRig(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second}, func(t *testing.T, w *world) {
		w.stopCust()
		w.c.set["p2p.quiet"] = "true"
		time.Sleep(time.Minute)
		w.startCustomer(t)
		time.Sleep(30 * time.Second)
		if n := len(w.cust.Book.Offers()); n != 0 {
			t.Fatalf("%d offers are known without gossip", n)
		}
		r := request("quiet")
		r.File.GPU.None = true
		id := w.place(t, r)
		v := w.await(t, id, func(v customer.View) bool { return v.Code != "" })
		if v.Code != "completed" {
			t.Errorf("the order ended %s: %s", v.Code, v.Detail)
		}
	})
}
