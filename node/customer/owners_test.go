package customer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
)

// runIn is a run of an order at a stage, with nothing due.
func runIn(t *testing.T, stage market.Stage) *orderRun {
	t.Helper()
	c, _ := bareCustomer(t)
	return c.newRun(orderRow{ID: market.OrderID{1}, Purchase: market.Purchase{ID: market.OrderID{1}, Stage: stage}})
}

// TestPlacing_Refused_IsAskedAgainLaterOrForAnotherOffer: who has refused is left alone, longer each time, until that
// time is over or it says something new.
func TestPlacing_Refused_IsAskedAgainLaterOrForAnotherOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pl := &runIn(t, market.StageQuoting).place
		who, no := market.NodeID{7}, market.Refuse(market.CodeBusy, market.KindUnavailable, "")
		if why, some := pl.refused(who); why != nil || some {
			t.Errorf("refused before it was asked: %v", why)
		}
		for _, wait := range []time.Duration{time.Second, 2 * time.Second} {
			pl.shun(who, no)
			began := pl.shunned[who].until.Add(-wait)
			if !began.Equal(pl.r.c.now()) || !pl.shuns(book.Candidate{Provider: who}) {
				t.Errorf("left alone until %s, want %s from %s on", pl.shunned[who].until, wait, pl.r.c.now())
			}
		}
		if pl.shuns(book.Candidate{Provider: who, OfferID: market.DocID{9}}) {
			t.Error("another offer of it is not looked at")
		}
		if why, some := pl.refused(market.NodeID{8}); why != nil || !some {
			t.Errorf("another provider: %v, %v", why, some)
		}
	})
}

// TestPlacing_Quote_IsOfThisStart: quotes are not stored, so that an order which a restart interrupted asks anew.
func TestPlacing_Quote_IsOfThisStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pl := &runIn(t, market.StageFunding).place
		if _, err := pl.chosen(); market.CodeOf(err) != market.CodeQuoteExpired {
			t.Errorf("a quote of before the start: %v", err)
		}
		pl.choose(&offered{provider: market.NodeID{7}})
		if o, err := pl.chosen(); err != nil || o.provider != (market.NodeID{7}) {
			t.Errorf("chosen is %s: %v", o.provider, err)
		}
	})
}

// TestHire_BeforeItsLease_TakesNothing: words of a lease that is not followed change nothing; a Receipt of a lower
// number is no newest one.
func TestHire_BeforeItsLease_TakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runIn(t, market.StageQuoting)
		h := &r.hire
		h.event(t.Context(), market.LeaseUnknown{})
		h.takeStatus(t.Context(), market.Status{Phase: "pull", Done: 1, Total: 2})
		if phase, done, total := h.preparation(); phase != "pull" || done != 1 || total != 2 {
			t.Errorf("preparation is %s %d of %d", phase, done, total)
		}
		if h.at() != nil || !h.lastUsed().Equal(r.c.now()) {
			t.Error("a job that does not run is idle")
		}
		if !h.newest(3) || h.newest(2) || !h.newest(3) {
			t.Error("receipts are not told by their numbers")
		}
		if err := h.act(t.Context(), market.Lease{Common: market.Common{ID: market.LeaseID{5}}},
			market.AskStatus{}); err != nil {
			t.Errorf("an effect of a lease that is not the order's: %v", err)
		}
	})
}

// TestOwnLog_WithoutAJob_SaysWhy: an order that has no log says which of the reasons it is, and one that waits for it
// is told when the order ends.
func TestOwnLog_WithoutAJob_SaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runIn(t, market.StageSearching)
		if _, err := r.log.some(t.Context(), false); market.CodeOf(err) != market.CodeNotFound {
			t.Errorf("without a job: %v", err)
		}
		answer := make(chan error, 1)
		r.c.wg.Go(func() { _, err := r.log.some(t.Context(), true); answer <- err })
		synctest.Wait()
		if len(answer) != 0 {
			t.Fatal("nothing was waited for")
		}
		r.mu.Lock()
		r.row.Stage, r.row.Failed = market.StageOver, true
		r.mu.Unlock()
		r.bell.Ring()
		if err := <-answer; market.CodeOf(err) != market.CodeNotFound {
			t.Errorf("the order is over: %v", err)
		}
		if bytes, missing, end := r.log.outcome(); bytes != 0 || missing != 0 || end != market.LogUnsaid {
			t.Errorf("its outcome says %d, %d, %v", bytes, missing, end)
		}
	})
}

// TestTransfers_InputsThatAreGone_EndTheOrder: inputs that this node has lost can never be sent.
func TestTransfers_InputsThatAreGone_EndTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runIn(t, market.StageLeased)
		o := r.snapshot()
		if err := r.files.push(t.Context(), o); err != nil {
			t.Errorf("an order without inputs: %v", err)
		}
		_, err := r.files.send(t.Context(), o)
		if code := market.CodeOf(err); code != market.CodeInputLost || !neverTaken[code] {
			t.Errorf("inputs that are gone: %v", err)
		}
		if r.files.have(o, [32]byte{1}) {
			t.Error("outputs that were never fetched are here")
		}
		var e *market.Error
		if !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("no next step: %v", err)
		}
	})
}
