package provider

import (
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// TestChannel_Over: a channel leaves only once its account is gone beyond doubt, all was paid out, and no share is
// left: one of a lease in memory is what a debt is asked for by.
func TestChannel_Over(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*entry)
		again  bool // an earlier start had seen it gone
		stays  bool
	}{
		"sealed, then gone": {change: func(e *entry) { e.Own.Sealed = true }},
		"gone twice":        {change: func(*entry) {}, again: true},
		"gone once":         {change: func(*entry) {}, stays: true},
		"on the chain": {change: func(e *entry) { e.Account.Phase, e.Own.Sealed = escrow.PhaseSealed, true },
			stays: true},
		"not paid out": {change: func(e *entry) { e.Account.SentToPay, e.Own.Sealed = 4, true }, stays: true},
		"a lease": {change: func(e *entry) {
			e.Own.Sealed = true
			e.Account.Leases = map[market.LeaseID]escrow.Share{leaseNo(1): {Owed: 10, Cap: 10}}
		}, stays: true},
	} {
		p := started(t, t.TempDir())
		p.books.sums.enter(sale{lease: leaseNo(1), now: frozen(market.Lease{})})
		ch := p.books.create(escrow.ChannelState{ID: market.ChannelID{9}, Status: escrow.StatusOpen, Deposit: 10},
			channelRow{})
		ch.gone = c.again
		if !p.books.enter(ch) {
			t.Fatal("a channel is not entered")
		}
		err := p.books.keep(t.Context(), ch, func(e *entry) error {
			e.Account.Phase, e.Account.Settled, e.Account.SentToPay = escrow.PhaseGone, 5, 5
			c.change(e)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		was := p.Earned()
		p.books.leave(t.Context(), p.books.all())
		if n := len(p.books.all()); (n == 1) != c.stays || ch.Left() == c.stays {
			t.Errorf("%s: %d channels in memory, left %v", name, n, ch.Left())
		}
		if got, err := p.books.byID(ch.id); err != nil || got.id != ch.id || p.Earned() != was {
			t.Errorf("%s: %+v, %v; earned %+v, was %+v", name, got, err, p.Earned(), was)
		}
		if err := p.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestChannel_Left_TakesNoLease: an endpoint that shows a channel open again which has left gets no lease entered, and
// nothing of one is stored.
func TestChannel_Left_TakesNoLease(t *testing.T) {
	t.Parallel()
	p := started(t, t.TempDir())
	defer p.db.Close()
	pr := signed(t, p, 1, 1)
	voucher := &escrow.Signed{Voucher: escrow.Voucher{Channel: pr.body.Channel, Amount: 7}}
	cs := escrow.ChannelState{ID: pr.body.Channel, Status: escrow.StatusOpen, Deposit: 1000}
	ch := p.books.create(cs, channelRow{})
	if !p.books.enter(ch) {
		t.Fatal("a channel is not entered")
	}
	err := p.books.keep(t.Context(), ch, func(e *entry) error {
		e.Account.Phase, e.Own.Sealed = escrow.PhaseGone, true
		e.Account.Newest, e.Account.Kept = *voucher, []*escrow.Signed{voucher}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.books.leave(t.Context(), p.books.all())
	again, err := p.books.of(cs)
	if err != nil || !again.Left() {
		t.Fatalf("it has not left: %v", err)
	}
	if a, _ := again.See(); a.Newest != *voucher || len(a.Kept) != 1 || *a.Kept[0] != *voucher {
		t.Errorf("its vouchers are %+v %+v", a.Newest, a.Kept)
	}
	for _, ch := range []*channel{ch, again} { // the one that somebody held meanwhile, and one that is read again
		ch.Note(func(e *entry) { e.Account = e.Account.Observe(cs, escrow.Finalised, 0) })
		err := p.reserve(t.Context(), pr, ch)
		if market.CodeOf(err) != market.CodeChannelUnfit {
			t.Errorf("a lease on it: %v", err)
		}
		p.books.mu.Lock()
		delete(p.books.channels, ch.id)
		p.books.mu.Unlock()
	}
	for _, bucket := range []string{store.BucketShares, store.BucketTicks, store.BucketChannels, store.BucketVouchers} {
		if rows, err := p.db.Page(bucket, nil, 9, false); err != nil || len(rows) != 0 {
			t.Errorf("%s has %d rows, %v", bucket, len(rows), err)
		}
	}
}
