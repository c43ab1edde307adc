package nodetest

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
)

// back fails unless all that was ever deposited is with the provider, for what it is owed, or with the customer again.
func (w *world) back(t *testing.T, what string, channels int) {
	t.Helper()
	until(t, what, func() bool {
		list, closed := w.cust.Channels(), 0
		for _, ch := range list {
			if d := ch.Account.Seen; d > 0 && ch.Paid+ch.Returned == d {
				closed++
			}
		}
		return len(list) == channels && closed == channels
	})
}

// TestSim_LedgerGoneAtTheEnd_RefundComesLater: a ledger that does not answer while a channel is to be finished delays
// the refund, no more.
func TestSim_LedgerGoneAtTheEnd_RefundComesLater(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 2 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, long())
		w.await(t, id, running)
		time.Sleep(time.Minute)
		w.chain.Down(true)
		v := w.await(t, id, over)
		if v.Finished || !v.RefundLater {
			t.Fatalf("finished without a ledger: %+v", v.Steps)
		}
		w.chain.Down(false)
		time.Sleep(5 * time.Minute)
		w.back(t, "the refund does not come", 1)
		w.exact(t, w.await(t, id, func(v customer.View) bool { return v.Finished }), market.CodeCompleted, before)
	})
}

// TestSim_KeptChannel_IdleIsClosed: a kept channel waits for its next job, and not for ever.
func TestSim_KeptChannel_IdleIsClosed(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		w.stopCust()
		w.cc.KeepIdle = 30 * time.Minute
		w.startCustomer(t)
		time.Sleep(time.Second)
		before := w.chain.Balance(w.payout)
		r := long()
		r.KeepChannel = true
		id := w.place(t, r)
		v := w.await(t, id, over)
		time.Sleep(20 * time.Minute)
		if c := w.cust.Channels(); v.Code != market.CodeCompleted || len(c) != 1 || c[0].Returned != 0 {
			t.Fatalf("%s %s: the channel is not kept: %+v", v.Code, v.Detail, c)
		}
		time.Sleep(15 * time.Minute)
		w.back(t, "an idle channel stays open", 1)
		w.exact(t, w.await(t, id, func(v customer.View) bool { return v.Finished }), market.CodeCompleted, before)
	})
}

// TestSim_LeftForAnother_IsClosed: a channel that its next job had to leave, because the provider did not take it any
// more, is closed although it was to be kept for that job; nothing waits for a restart.
func TestSim_LeftForAnother_IsClosed(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		w.stopProv()
		w.pc.Dues.OldChannels = w.clock.Now().Add(time.Hour)
		w.startProvider(t)
		w.stopCust()
		w.cc.KeepIdle = 10 * time.Minute
		w.startCustomer(t)
		time.Sleep(time.Second)
		r := long()
		r.KeepChannel = true
		first := w.await(t, w.place(t, r), over)
		w.stopProv()
		w.startProvider(t)
		r = long()
		r.Key = "second"
		second := w.await(t, w.place(t, r), over)
		if first.Code != market.CodeCompleted || second.Code != market.CodeCompleted ||
			first.Channel == second.Channel {
			t.Fatalf("%s on %s, %s on %s: %+v", first.Code, first.Channel, second.Code, second.Channel, second.Steps)
		}
		time.Sleep(15 * time.Minute)
		w.back(t, "the channel that was left stays open", 2)
	})
}

// TestSim_Refused_OneDepositForAll: a provider that refuses after the funding is asked again on the same channel:
// nothing is deposited, and no claim fee is paid, a second time.
func TestSim_Refused_OneDepositForAll(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		w.sw.refuse.Store(2)
		v := w.await(t, w.place(t, long()), over)
		w.exact(t, v, market.CodeCompleted, before)
		w.back(t, "the refund does not come", 1)
	})
}

// rewrite changes all rows of a bucket, to what they were before a commit that a killed node did not come to.
func rewrite(t *testing.T, s *store.Store, bucket string, f func(row map[string]any)) {
	t.Helper()
	var change store.Change
	err := s.Scan(bucket, nil, func(k, v []byte) error {
		var row map[string]any
		d := json.NewDecoder(bytes.NewReader(v[1:]))
		d.UseNumber()
		if err := d.Decode(&row); err != nil {
			return err
		}
		f(row)
		b, err := json.Marshal(row)
		change.Puts = append(change.Puts,
			store.Put{Bucket: bucket, Key: bytes.Clone(k), Value: append([]byte{v[0]}, b...)})
		return err
	})
	if err == nil {
		err = s.Commit(t.Context(), change)
	}
	if err != nil {
		t.Fatal(err)
	}
}
