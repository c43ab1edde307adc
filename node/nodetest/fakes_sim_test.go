package nodetest

import (
	"crypto/ed25519"
	"encoding/binary"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/dht"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// TestSim_LiveFakes_OrderFindsItsRig: 200 nodes that live, announce the class and sell nothing do not keep a customer
// who hears no gossip from the one true rig.
func TestSim_LiveFakes_OrderFindsItsRig(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second}, func(t *testing.T, w *world) {
		w.stopCust()
		w.c.set["p2p.quiet"] = "true"
		for i := range 200 {
			key := ed25519.NewKeyFromSeed(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i+1)))
			h := w.sim.Start(t, p2p.Config{Network: w.ph.Network().Name, Key: key, Roles: []string{"customer"},
				Bootstrap: w.ph.FullAddrs()})
			h.Handle("sync", p2p.Limits{Rate: 10, Burst: 10},
				func(_ market.NodeID, st network.Stream) { _ = st.Reset() })
			d := dht.New(h, nil)
			p2ptest.Serve(t, d.Serve)
			d.Announce(dht.Class("cpu"))
		}
		time.Sleep(2 * time.Minute)
		w.startCustomer(t)
		time.Sleep(30 * time.Second)
		r := request("fakes")
		r.File.GPU.None = true
		id := w.place(t, r)
		v := w.await(t, id, func(v customer.View) bool { return v.Code != "" })
		if v.Code != "completed" {
			t.Errorf("the order ended %s: %s", v.Code, v.Detail)
		}
	})
}
