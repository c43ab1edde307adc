package nodetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

// deaf is a customer's net that reaches no provider for a first quote: what it gets came by a reply.
type deaf struct {
	customer.Net
	closed *atomic.Bool
}

func (d deaf) Quote(ctx context.Context, to market.NodeID, reach []string, order []byte) ([]byte, error) {
	if d.closed.Load() {
		return nil, &market.Error{Code: market.CodePeerUnreachable, Kind: market.KindUnavailable, Op: "ask node"}
	}
	return d.Net.Quote(ctx, to, reach, order)
}

// TestWant_RigThatCannotBeDialled_Replies: a customer that reaches no rig still buys of one that reaches him: Order and
// Quote go over the stream that the rig has opened.
func TestWant_RigThatCannotBeDialled_Replies(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		w.stopCust()
		var closed atomic.Bool
		closed.Store(true)
		w.c.deps.Net = func(n customer.Net) customer.Net { return deaf{n, &closed} }
		w.startCustomer(t)
		until(t, "the offer did not arrive", func() bool { return len(w.cust.Book.Offers()) == 1 })
		before := w.chain.Balance(w.payout)
		id := w.place(t, patient("a", time.Hour))
		w.await(t, id, func(v customer.View) bool { return v.Provider == w.ph.ID() })
		closed.Store(false) // on the connection that the rig has made
		v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
		w.exact(t, v, market.CodeCompleted, before)
	})
}

// TestWant_HostileReplies: only what answers an own Want that somebody waits for, with the sender's own Offer, gets an
// Order; a late reply is no fault, one to nothing or with a foreign Offer is.
func TestWant_HostileReplies(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		time.Sleep(market.MaxWantLife) // replies to Wants of before a start are forgiven
		w.prov.SetSelling(false)
		before := w.chain.Balance(w.payer)
		id := w.place(t, patient("a", time.Hour))
		until(t, "the rig does not hear of it", func() bool { return len(w.p.wants(t)) == 1 })
		env := wantIDOf(t, w)
		key := p2ptest.Key(77)
		from := p2ptest.NodeID(key)
		good, err := wire.SealOffer(key, w.ph.Network().Name, market.Offer{Seq: uint64(time.Now().UnixMilli()),
			Lifetime: time.Hour, Mints: []market.Address{{}}, Version: "v", Groups: []market.DeviceGroup{{
				Devices: []market.DeviceID{{1}}, Free: 1, Class: "h100", Name: "H100", Rates: []market.Rate{1000}}}})
		if err != nil {
			t.Fatal(err)
		}
		reply := func(want market.DocID, from market.NodeID, offer []byte) error {
			_, _, err := w.cust.Replied(t.Context(), from, want, offer)
			return err
		}
		for name, c := range map[string]struct {
			want  market.DocID
			from  market.NodeID
			offer []byte
			bad   bool
			code  market.Code
		}{
			"to nothing":      {market.DocID{1}, from, good, true, ""},
			"no offer":        {env, from, []byte("x"), true, ""},
			"foreign offer":   {env, w.ph.ID(), good, true, ""},
			"of another kind": {env, from, good, false, market.CodeDoesNotFit},
		} {
			err := reply(c.want, c.from, c.offer)
			if errors.Is(err, streams.ErrBadReply) != c.bad || !c.bad && market.CodeOf(err) != c.code {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := w.cust.StopOrder(t.Context(), id.String(), false); err != nil {
			t.Fatal(err)
		}
		until(t, "it is wanted still", func() bool { return len(w.p.wants(t)) == 0 })
		if err := reply(env, from, good); market.CodeOf(err) != market.CodeWantOver ||
			errors.Is(err, streams.ErrBadReply) {
			t.Errorf("a late reply: %v", err)
		}
		w.nothingMoved(t, w.view(t, id), before)
	})
}

// wantIDOf is the document of the only Want.
func wantIDOf(t *testing.T, w *world) market.DocID {
	t.Helper()
	text := w.p.wants(t)[0].ID
	id, err := market.ParseLeaseID("lease_" + text) // the same letters
	if err != nil {
		t.Fatal(err)
	}
	return market.DocID(id)
}
